/** What is sealed for a token, and what is accepted as one: a member may be faulty, and the store hostile. */
import { Secret } from '../core/secret.ts';
import type { Refusal } from './seal.ts';

/** As for a token response: anything else could end the header line (RFC 6750 §2.1). */
const AUTHORIZATION = /^Bearer [A-Za-z0-9\-._~+/]{1,12288}=*$/;
const MAX_LIFETIME_S = 24 * 3600;

/** As for the last use of a token from the identity server: a request takes time to reach the API. */
const MARGIN = { share: 0.05, mostMs: 30_000 } as const;

export interface TokenContent {
  /** The whole header value, `Bearer …`. */
  readonly authorization: Secret;
  /** Whole, as the identity server said. */
  readonly lifetimeS: number;
  /** What remains of it. */
  readonly leftMs: number;
}

/** Returns the content to seal; the only copy of the token that leaves this process for the store. */
export function contentOf({ authorization, lifetimeS }: Omit<TokenContent, 'leftMs'>): object {
  return { authorization: authorization.reveal(), lifetimeS };
}

/**
 * Reads the content of a token.
 * @param leftMs as the store counts it down; it cannot make a token live longer than the identity server said
 * @returns `late` for one that ends too soon to be used
 */
export function readToken(content: Readonly<Record<string, unknown>>, leftMs: number): TokenContent | Refusal | 'late' {
  const { authorization, lifetimeS } = content;
  if (typeof authorization !== 'string' || !AUTHORIZATION.test(authorization)) return 'content';
  if (typeof lifetimeS !== 'number' || !(lifetimeS > 0 && lifetimeS <= MAX_LIFETIME_S)) return 'content';
  // A member always says how long; without, it would count as new for ever.
  if (!(leftMs >= 0)) return 'content';
  if (leftMs <= Math.min(MARGIN.mostMs, lifetimeS * 1000 * MARGIN.share)) return 'late';
  return { authorization: new Secret(authorization), lifetimeS, leftMs: Math.min(lifetimeS * 1000, leftMs) };
}
