/** Options that are plain text of a limited alphabet. */
import { z } from 'zod';

const NAME = /^[a-z0-9][a-z0-9_-]{0,31}$/;
export const name = z.string().regex(NAME, 'must be 1 to 32 of a-z 0-9 _ -, and start with a letter or digit');

/** RFC 6749 §3.3: scope tokens separated by single spaces. */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/;
export const scope = z.string().regex(SCOPE, 'must be scope names separated by single spaces (RFC 6749 §3.3)');
const VISIBLE = /^[\x20-\x7e]+$/;
export const visible = z.string().regex(VISIBLE, 'must be printable ASCII, not empty');
