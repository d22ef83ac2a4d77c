/**
 * Options for listen addresses: one or several. Suggests the full address when somebody writes only a port.
 */
import { z } from 'zod';
import { meta, parsed } from './option.ts';
import { parseAddress } from './parsers.ts';

const addressText = z.string({
  error: ({ input }) => (typeof input === 'number' ? `must be an address; write 127.0.0.1:${input}` : undefined),
});

/** Schema of an address, a comma-separated list, or a YAML list. @param fallback default, as written in a file */
export const addresses = (fallback: string, description: string) =>
  z
    .union([addressText, z.array(addressText).min(1)], {
      error: ({ input }) =>
        `must be an address, or a list of at least one${typeof input === 'number' ? `; write 127.0.0.1:${input}` : ''}`,
    })
    .transform((value) => (typeof value === 'string' ? value.split(',').map((part) => part.trim()) : value))
    .pipe(z.array(parsed(parseAddress, meta('`host:port`, `[v6]:port` or `unix:/path`'))))
    .prefault(fallback)
    .meta(meta(description));
