/**
 * Pure arithmetic: when to refresh a token, when to stop using it, and how long to wait after a failed request. A token's
 * age is measured by the monotonic and the wall clock, and the larger age counts: neither a clock set back nor a suspended
 * machine makes an expired token look fresh. Back-off protects an identity server in trouble from its clients.
 */
import type { Instant } from '../core/clock.ts';

export interface Lifespan {
  /** Taken before the request is sent, so the token never looks younger than it is for the server. */
  readonly since: Instant;
  readonly refreshAfterMs: number;
  readonly usableForMs: number;
}

/** Share of the lifetime, up to `MAX_MARGIN_MS`: a short-lived token needs nearly all of its seconds. */
const MARGIN_SHARE = 0.05;
const MAX_MARGIN_MS = 30_000;
/** Share of the lifetime: a short-lived token needs the remaining time for retries. */
const MAX_JITTER_SHARE = 0.1;

/**
 * Plans a token's life.
 * Refresh: at half the lifetime or `refreshBeforeMs` before expiry, whichever is later, plus jitter, because replicas must
 * not refresh at the same moment. The jitter is at most half of the remaining time and a tenth of the lifetime.
 * Last use: a margin before expiry, because a request takes time to reach the API.
 * @param policy.random in [0, 1)
 * @example
 * planLifespan(clock.now(), 3600, { refreshBeforeMs: 300_000, random: 0 }); // refreshAfterMs 3_300_000, usableForMs 3_570_000
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

/** Longest wait after a temporary failure. */
const MAX_BACKOFF_MS = 60_000;

/** Shortest wait between two attempts, whatever servers or tokens ask for. */
const MIN_BACKOFF_MS = 1000;

/** Returns a random wait between 1 s and a bound that doubles from 2 s to 60 s, in ms. @param failures in a row, from 1 */
export function backoffMs(failures: number, random: number): number {
  const bound = Math.min(MAX_BACKOFF_MS, MIN_BACKOFF_MS * 2 ** Math.min(failures, 16));
  return MIN_BACKOFF_MS + (bound - MIN_BACKOFF_MS) * random;
}

/** Returns the wait after the server refused the client, 60 to 90 s, in ms: servers lock out clients that retry fast. */
export function rejectionBackoffMs(random: number): number {
  return MAX_BACKOFF_MS * (1 + random / 2);
}
