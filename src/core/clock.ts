/**
 * Time as the token source sees it, injected so that tests decide what time it is.
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

/** The real clocks. */
export const systemClock: Clock = {
  now: () => ({ wallMs: Date.now(), monotonicMs: performance.now() }),
  startTimer(delayMs, run) {
    const timer = setTimeout(run, delayMs).unref();
    return () => clearTimeout(timer);
  },
};

/** Milliseconds since then; the larger of both clocks. */
export function elapsedSince(since: Instant, now: Instant): number {
  return Math.max(now.wallMs - since.wallMs, now.monotonicMs - since.monotonicMs);
}

/** Timers past 2^31 ms fire at once. */
const MAX_TIMER_MS = 3_600_000;

/** Keeps the process alive. */
export async function sleep(ms: number): Promise<void> {
  for (let leftMs = ms; leftMs > 0; leftMs -= MAX_TIMER_MS) {
    await new Promise<void>((resolve) => setTimeout(resolve, Math.min(leftMs, MAX_TIMER_MS)));
  }
}
