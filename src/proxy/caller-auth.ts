/**
 * Authenticates callers by key, sent as `X-Sidecar-Key` or as HTTP Basic password. The key is never forwarded to the API.
 * Client certificates are read in http-server.ts.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { SidecarError } from '../core/errors.ts';
import type { Secret } from '../core/secret.ts';
import type { RequestHead } from './headers.ts';

/** Returns the caller's name, for log and metrics. @throws SidecarError CALLER_KEY */
export type Identify = (head: Pick<RequestHead, 'keys' | 'authorizations'>) => string;

export interface CallerOptions {
  /** By name of the caller; empty = callers need no key. */
  readonly keys: ReadonlyMap<string, readonly Pick<Secret, 'digest'>[]>;
}

interface Shown {
  readonly key: string;
  /** User name of HTTP Basic. */
  readonly user?: string;
}

/**
 * Creates the check of callers' keys; undefined when none are configured.
 * @example
 * createIdentify({ keys: new Map([['erp', [secret]]]) })?.({ keys: ['…'], authorizations: [] }); // 'erp'
 */
export function createIdentify({ keys }: CallerOptions): Identify | undefined {
  const known = [...keys].flatMap(([name, secrets]) => secrets.map((secret) => ({ name, digest: secret.digest() })));
  if (known.length === 0) return undefined;
  return (head) => {
    const shown = readKey(head);
    if (!shown) throw new SidecarError('CALLER_KEY');
    const digest = createHash('sha256').update(shown.key).digest();
    let found: string | undefined;
    // Always compares all keys, so the time taken does not show which one was close.
    for (const { name, digest: expected } of known) if (timingSafeEqual(digest, expected)) found = name;
    if (found === undefined || (shown.user !== undefined && shown.user !== found)) throw new SidecarError('CALLER_KEY');
    return found;
  };
}

/** Returns the only key; undefined when there is none, or several, because it is unclear which one counts. */
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
