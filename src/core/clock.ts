/**
 * The clock of the token source, injected so that tests control the time.
 */

/** One reading of both clocks. */
export interface Instant {
  /** Epoch ms; jumps when somebody sets the clock. */
  readonly wallMs: number;
  /** Ms; never goes back, but stops while the machine sleeps. */
  readonly monotonicMs: number;
}

export interface Clock {
  now(): Instant;
  /** Calls `run` once after about `delayMs`; does not keep the process alive. Returns a function that cancels it. */
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

/** Milliseconds since then, by the clock that advanced more. */
export function elapsedSince(since: Instant, now: Instant): number {
  return Math.max(now.wallMs - since.wallMs, now.monotonicMs - since.monotonicMs);
}

/** Node fires timers longer than 2^31 ms at once. */
const MAX_TIMER_MS = 3_600_000;

/** Resolves after `ms`, however long; keeps the process alive. */
export async function sleep(ms: number): Promise<void> {
  for (let leftMs = ms; leftMs > 0; leftMs -= MAX_TIMER_MS) {
    await new Promise<void>((resolve) => setTimeout(resolve, Math.min(leftMs, MAX_TIMER_MS)));
  }
}
