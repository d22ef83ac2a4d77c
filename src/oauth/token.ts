/**
 * A kept token: what it is for, how long it lives, and what may be told of it.
 */
import type { SidecarError } from '../core/errors.ts';
import type { Failure } from '../core/failure.ts';
import type { Secret } from '../core/secret.ts';
import type { TokenTarget } from './credential.ts';
import type { Lifespan } from './refresh-policy.ts';

/** `fresh`: use it · `early`: use it, refresh behind · `expired`: never send it. */
export type Phase = 'fresh' | 'early' | 'expired';

export interface Token extends Lifespan {
  /** The whole header value, `Bearer …`. */
  readonly authorization: Secret;
  /** Epoch ms. */
  readonly expiresAt: number;
}

export interface TokenKey extends TokenTarget {
  readonly credential: string;
}

export type LookupResult = 'hit' | 'early' | 'join' | 'miss';

/** What happens to a key, for log and metrics. None of it may throw. */
export interface TokenEvents {
  lookup(result: LookupResult): void;
  obtained(token: Token, assumedLifetime: boolean): void;
  /** @param expiresAt epoch ms, of the token that is in use meanwhile; undefined = there is none */
  failed(error: SidecarError, retryInMs: number, expiresAt: number | undefined): void;
}

export interface TokenSnapshot {
  readonly key: TokenKey;
  readonly state: Phase | 'none';
  /** Epoch ms of the current token's expiry. */
  readonly expiresAt: number | undefined;
  /** Epoch ms of the next fetch without anybody asking; past while it is under way. */
  readonly refreshAt: number | undefined;
  readonly lastSuccessAt: number | undefined;
  readonly lastError:
    | {
        readonly code: string;
        readonly result: string;
        readonly at: number;
        /** Since when there has been no success. */
        readonly since: number;
        readonly failure: Failure | undefined;
      }
    | undefined;
  readonly consecutiveFailures: number;
  /** Tokens obtained so far. */
  readonly generation: number;
}
