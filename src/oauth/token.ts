/** A cached token: its key, its lifetime, and the snapshot and events that other parts may see. */
import type { Clock } from '../core/clock.ts';
import type { SidecarError } from '../core/errors.ts';
import type { Failure } from '../core/failure.ts';
import type { Secret } from '../core/secret.ts';
import type { TokenTarget } from './credential.ts';
import type { Lifespan, Phase } from './refresh-policy.ts';
import type { TokenResponse } from './token-response.ts';

export interface Token extends Lifespan {
  /** The whole header value, `Bearer …`. */
  readonly authorization: Secret;
  /** Epoch ms. */
  readonly expiresAt: number;
  /** Another member of the fleet has fetched it. */
  readonly isShared: boolean;
}

/** Whether `current` is `stale`, also when the store of a fleet has given the same token again: as another object. */
export function isStill(stale: Token, current: Token | undefined): boolean {
  return current === stale || (current?.isShared === true && current.authorization.equals(stale.authorization));
}

/** Routes with equal keys share a token. */
export interface TokenKey extends TokenTarget {
  readonly credential: string;
}

/** `join`: waits for the running fetch · `miss`: starts one. */
export type LookupResult = 'hit' | 'early' | 'join' | 'miss';

/** Events of one key, for log and metrics. The callbacks must not throw. */
export interface TokenEvents {
  lookup(result: LookupResult): void;
  obtained(token: Token, assumedLifetime: boolean): void;
  /** @param expiresAt epoch ms, of the token that stays in use; undefined = there is none */
  failed(error: SidecarError, retryInMs: number, expiresAt: number | undefined): void;
}

export interface TokenSnapshot {
  readonly key: TokenKey;
  readonly state: Phase | 'none';
  /** Expiry of the current token, epoch ms. */
  readonly expiresAt: number | undefined;
  /** Time of the next background fetch, epoch ms; in the past while it runs. */
  readonly refreshAt: number | undefined;
  readonly lastSuccessAt: number | undefined;
  readonly lastError:
    | {
        readonly code: string;
        readonly result: string;
        readonly at: number;
        /** Time of the first failure after the last success, epoch ms. */
        readonly since: number;
        readonly failure: Failure | undefined;
      }
    | undefined;
  readonly consecutiveFailures: number;
  /** Tokens obtained so far. */
  readonly generation: number;
}

export type ObtainedToken = Extract<TokenResponse, { kind: 'token' }>;

export interface FailedFetch {
  readonly error: SidecarError;
  readonly result: string;
  /** Epoch ms; `since` is the time of the first failure in a row. */
  readonly at: number;
  readonly since: number;
}

/** A token that a new one takes the place of. */
export interface Replaced {
  readonly authorization: Secret;
  /** An upstream refused it, or an operator wants another one. */
  readonly isRefused: boolean;
}

export interface SourceOptions {
  /**
   * @param untilAwaited resolves when a caller waits for the token; a fetch that nobody waits for may be put off
   * @param replaced a token that equals it is of no use; undefined = any is
   */
  readonly fetchToken: (untilAwaited: () => Promise<void>, replaced?: Replaced) => Promise<TokenResponse>;
  /** Called at once when a token is of no use to an upstream or an operator: the fetch may have to wait. */
  readonly onRefused?: ((token: Token) => void) | undefined;
  /** Called shortly before a fetch in the background. */
  readonly prepare?: (() => void) | undefined;
  readonly events: TokenEvents;
  readonly refreshBeforeMs: number;
  /** How long one caller waits for a token, ms. */
  readonly waitMs: number;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** A token from before a reload: used until this source has its own. */
  readonly seed?: Token | undefined;
}
