/** What is sealed for a token, and what is accepted as one: a member may be faulty, and the store hostile. */
import { Secret } from '../core/secret.ts';
import type { Refusal } from './seal.ts';

/** As for a token response: anything else could end the header line (RFC 6750 §2.1). */
const AUTHORIZATION = /^Bearer [A-Za-z0-9\-._~+/]{1,12288}=*$/;
const MAX_LIFETIME_S = 24 * 3600;

export interface TokenContent {
  /** The whole header value, `Bearer …`. */
  readonly authorization: Secret;
  readonly lifetimeS: number;
}

/** Returns the content to seal; the only copy of the token that leaves this process for the store. */
export function contentOf(authorization: Secret, lifetimeS: number): object {
  return { authorization: authorization.reveal(), lifetimeS };
}

/**
 * Returns the token with the lifetime that remains.
 * @param leftMs as the store counts it down; it cannot make a token live longer than the identity server said
 */
export function readToken(content: Readonly<Record<string, unknown>>, leftMs: number): TokenContent | Refusal {
  const { authorization, lifetimeS } = content;
  if (typeof authorization !== 'string' || !AUTHORIZATION.test(authorization)) return 'content';
  if (typeof lifetimeS !== 'number' || !(lifetimeS > 0 && lifetimeS <= MAX_LIFETIME_S)) return 'content';
  if (!(leftMs > 0)) return 'content';
  return { authorization: new Secret(authorization), lifetimeS: Math.min(lifetimeS, leftMs / 1000) };
}
