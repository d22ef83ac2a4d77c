/**
 * When a token is refreshed and given up, and how long to wait after a failed request: pure arithmetic. A token is judged by
 * two clocks at once, monotonic and wall, and the one that says "later" wins: neither a clock set back nor a machine that
 * slept can make an expired token look fresh. An identity server in trouble is not attacked by its clients.
 */
import type { Instant } from '../core/clock.ts';

export interface Lifespan {
  /** Taken before the request was sent, so the token never looks younger than the server thinks it is. */
  readonly since: Instant;
  readonly refreshAfterMs: number;
  readonly usableForMs: number;
}

/** Of its life, up to `MAX_MARGIN_MS`: a short-lived token is worth its last second. */
const MARGIN_SHARE = 0.05;
const MAX_MARGIN_MS = 30_000;
/** Of its life: a short-lived token needs the time for tries that fail. */
const MAX_JITTER_SHARE = 0.1;

/**
 * Plans a token's life: refresh at half-life or `refreshBeforeMs` before expiry, whichever is later, plus up to half of
 * what then remains as jitter (replicas must not refresh in step), but no more than a tenth of the life; stop using it a
 * margin before it expires, for the time a request is on its way.
 * @param policy.random in [0, 1)
 */
export function planLifespan(
  since: Instant,
  lifetimeS: number,
  policy: { readonly refreshBeforeMs: number; readonly random: number },
): Lifespan {
  const lifetimeMs = lifetimeS * 1000;
  const usableForMs = lifetimeMs - Math.min(MAX_MARGIN_MS, lifetimeMs * MARGIN_SHARE);
  const earliest = Math.min(Math.max(lifetimeMs / 2, lifetimeMs - policy.refreshBeforeMs), usableForMs);
  const jitterMs = Math.min((usableForMs - earliest) / 2, lifetimeMs * MAX_JITTER_SHARE);
  return { since, usableForMs, refreshAfterMs: earliest + jitterMs * policy.random };
}

/** Longest wait after transient failures. */
const MAX_BACKOFF_MS = 60_000;

/** No two attempts are closer than this, whatever servers or tokens say. */
const MIN_BACKOFF_MS = 1000;

/** Full jitter between 1 s and a bound that doubles from 2 s to 60 s. `failures` counts from 1. */
export function backoffMs(failures: number, random: number): number {
  const bound = Math.min(MAX_BACKOFF_MS, MIN_BACKOFF_MS * 2 ** Math.min(failures, 16));
  return MIN_BACKOFF_MS + (bound - MIN_BACKOFF_MS) * random;
}

/** After a clear no: 60 to 90 s, because servers lock clients out that keep asking. */
export function rejectionBackoffMs(random: number): number {
  return MAX_BACKOFF_MS * (1 + random / 2);
}
