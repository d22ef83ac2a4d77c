/**
 * Who is calling, where the operator wants to know: by key, sent as `X-Sidecar-Key` or as HTTP Basic password, or by
 * client certificate. Neither ever goes on to the API.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { SidecarError } from '../core/errors.ts';
import type { Secret } from '../core/secret.ts';
import type { RequestHead } from './headers.ts';

/** The caller's name for log and metrics. */
export type Identify = (head: Pick<RequestHead, 'keys' | 'authorizations'>) => string;

export interface CallerOptions {
  /** By name; empty = no key is asked for. */
  readonly keys: ReadonlyMap<string, readonly Pick<Secret, 'digest'>[]>;
}

interface Shown {
  readonly key: string;
  /** As HTTP Basic says. */
  readonly user?: string;
}

/** Undefined when there are no keys to ask for. @throws SidecarError CALLER_KEY, from the function returned */
export function createIdentify({ keys }: CallerOptions): Identify | undefined {
  const known = [...keys].flatMap(([name, secrets]) => secrets.map((secret) => ({ name, digest: secret.digest() })));
  if (known.length === 0) return undefined;
  return (head) => {
    const shown = readKey(head);
    if (!shown) throw new SidecarError('CALLER_KEY');
    const digest = createHash('sha256').update(shown.key).digest();
    let found: string | undefined;
    // All of them, always: how long it takes says nothing about which one came close.
    for (const { name, digest: expected } of known) if (timingSafeEqual(digest, expected)) found = name;
    if (found === undefined || (shown.user !== undefined && shown.user !== found)) throw new SidecarError('CALLER_KEY');
    return found;
  };
}

/** One key in one place; several are as good as none, for who knows which one counts. */
function readKey({ keys, authorizations }: Pick<RequestHead, 'keys' | 'authorizations'>): Shown | undefined {
  const [key] = keys;
  if (key !== undefined) return keys.length === 1 ? { key } : undefined;
  const [authorization = ''] = authorizations;
  const [, encoded] = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(authorization) ?? [];
  if (encoded === undefined || authorizations.length > 1) return undefined;
  const pair = Buffer.from(encoded, 'base64').toString('latin1');
  const colon = pair.indexOf(':');
  return colon === -1 ? undefined : { user: pair.slice(0, colon), key: pair.slice(colon + 1) };
}
