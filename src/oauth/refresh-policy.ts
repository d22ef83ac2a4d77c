/**
 * When a token is used, refreshed and given up, and when a failed fetch is tried again: pure arithmetic on an injected
 * clock. A token is judged by two clocks at once, monotonic and wall, and the one that says "later" wins: neither a
 * clock set back nor a machine that slept can make an expired token look fresh.
 */

/** One reading of both clocks. */
export interface Instant {
  /** Epoch ms; can jump either way when somebody sets the clock. */
  readonly wallMs: number;
  /** Never goes back, but stands still while the machine sleeps. */
  readonly monotonicMs: number;
}

export interface Clock {
  now(): Instant;
  /** Calls `run` once after about `delayMs` (does not keep the process alive); returns its cancellation. */
  startTimer(delayMs: number, run: () => void): () => void;
}

/** `fresh`: use it · `early`: use it, refresh behind · `expired`: never send it. */
export type Phase = 'fresh' | 'early' | 'expired';

export interface Lifespan {
  /** Taken before the request was sent, so the token never looks younger than the server thinks it is. */
  readonly since: Instant;
  readonly refreshAfterMs: number;
  readonly usableForMs: number;
}

const MAX_MARGIN_MS = 30_000;
const MIN_MARGIN_MS = 1000;
/** Longest wait between attempts after transient failures. */
const MAX_BACKOFF_MS = 60_000;

/**
 * Plans a token's life: refresh at half-life or `refreshBeforeMs` before expiry, whichever is later, plus up to half of
 * what then remains as jitter (replicas must not refresh in step); stop using it a margin before it expires, for the
 * time a request is on its way and because servers round to whole seconds.
 * @param policy.random in [0, 1)
 */
export function planLifespan(
  since: Instant,
  lifetimeS: number,
  policy: { readonly refreshBeforeMs: number; readonly random: number },
): Lifespan {
  const lifetimeMs = lifetimeS * 1000;
  const margin = Math.min(MAX_MARGIN_MS, Math.max(MIN_MARGIN_MS, lifetimeMs * 0.2), lifetimeMs / 2);
  const usableForMs = lifetimeMs - margin;
  const earliest = Math.min(Math.max(lifetimeMs / 2, lifetimeMs - policy.refreshBeforeMs), usableForMs);
  return { since, usableForMs, refreshAfterMs: earliest + (usableForMs - earliest) * 0.5 * policy.random };
}

/** Milliseconds since then; the larger of both clocks. */
export function elapsedMs(since: Instant, now: Instant): number {
  return Math.max(now.wallMs - since.wallMs, now.monotonicMs - since.monotonicMs);
}

export function phaseOf(lifespan: Lifespan, now: Instant): Phase {
  const age = elapsedMs(lifespan.since, now);
  if (age >= lifespan.usableForMs) return 'expired';
  return age >= lifespan.refreshAfterMs ? 'early' : 'fresh';
}

/** Full jitter between a tenth of a second and a bound that doubles from 1 s to 60 s. `failures` counts from 1. */
export function backoffMs(failures: number, random: number): number {
  const bound = Math.min(MAX_BACKOFF_MS, 1000 * 2 ** Math.min(failures - 1, 16));
  return 100 + (bound - 100) * random;
}

/** After a clear no: 60 to 90 s, because servers lock clients out that keep asking. */
export function rejectionBackoffMs(random: number): number {
  return MAX_BACKOFF_MS * (1 + random / 2);
}

/** The real clocks. */
export const systemClock: Clock = {
  now: () => ({ wallMs: Date.now(), monotonicMs: performance.now() }),
  startTimer(delayMs, run) {
    const timer = setTimeout(run, delayMs).unref();
    return () => clearTimeout(timer);
  },
};
