/**
 * Pure arithmetic: when to refresh a token and when to stop using it. A token's age is measured by the monotonic and the wall
 * clock, and the larger age counts: neither a clock set back nor a suspended machine makes an expired token look fresh.
 */
import { elapsedSince, type Instant } from '../core/clock.ts';

/** `fresh`: use it · `early`: use it and refresh in the background · `expired`: never send it. */
export type Phase = 'fresh' | 'early' | 'expired';

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
 * @param lifetimeS from `since` on
 * @param policy.random in [0, 1)
 * @param policy.passedS what had passed of the whole lifetime before: the margin of a token does not shrink with what is left of it
 * @example
 * planLifespan(clock.now(), 3600, { refreshBeforeMs: 300_000, random: 0 }); // refreshAfterMs 3_300_000, usableForMs 3_570_000
 */
export function planLifespan(
  since: Instant,
  lifetimeS: number,
  policy: { readonly refreshBeforeMs: number; readonly random: number; readonly passedS?: number | undefined },
): Lifespan {
  const passedMs = (policy.passedS ?? 0) * 1000;
  const lifetimeMs = lifetimeS * 1000 + passedMs;
  const usableForMs = lifetimeMs - Math.min(MAX_MARGIN_MS, lifetimeMs * MARGIN_SHARE);
  const earliest = Math.min(Math.max(lifetimeMs / 2, lifetimeMs - policy.refreshBeforeMs), usableForMs);
  const jitterMs = Math.min((usableForMs - earliest) / 2, lifetimeMs * MAX_JITTER_SHARE);
  const refreshAfterMs = Math.max(0, earliest + jitterMs * policy.random - passedMs);
  return { since, usableForMs: usableForMs - passedMs, refreshAfterMs };
}

/** Returns the phase of a token by both clocks. */
export function phaseOf(lifespan: Lifespan, now: Instant): Phase {
  const age = elapsedSince(lifespan.since, now);
  if (age >= lifespan.usableForMs) return 'expired';
  return age >= lifespan.refreshAfterMs ? 'early' : 'fresh';
}
