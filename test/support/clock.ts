/** A clock that stands still until a test moves it. */
import type { Clock } from '../../src/core/clock.ts';

export interface FakeClock extends Clock {
  /** Moves both clocks and fires due timers in order; lets promises settle in between. */
  advance(ms: number): Promise<void>;
  /** Sets the wall clock; no time passes. */
  jumpWall(ms: number): void;
  /** Suspends the machine: the wall clock moves, the monotonic clock and the timers do not. */
  sleep(ms: number): void;
  readonly timers: number;
}

interface Timer {
  readonly at: number;
  readonly run: () => void;
}

/** The whole event loop: what comes from sockets and files settles, too. */
const turnOfTheLoop = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Promises alone: far cheaper, for worlds in which nothing comes from outside of the process. */
export const allPromises = () => new Promise<void>((resolve) => process.nextTick(resolve));

export function createFakeClock(wallMs = Date.UTC(2026, 0, 1), settle = turnOfTheLoop): FakeClock {
  let wall = wallMs;
  let monotonic = 1000;
  const timers = new Set<Timer>();
  return {
    now: () => ({ wallMs: wall, monotonicMs: monotonic }),
    startTimer(delayMs, run) {
      const timer = { at: monotonic + delayMs, run };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    async advance(ms) {
      const end = monotonic + ms;
      for (;;) {
        await settle();
        const next = earliest(timers);
        if (!next || next.at > end) break;
        wall += Math.max(0, next.at - monotonic);
        monotonic = Math.max(monotonic, next.at);
        timers.delete(next);
        next.run();
      }
      wall += end - monotonic;
      monotonic = end;
      await settle();
    },
    jumpWall(ms) {
      wall += ms;
    },
    sleep(ms) {
      wall += ms;
    },
    get timers() {
      return timers.size;
    },
  };
}

/** Of several at one time the one that was started first. */
function earliest(timers: Iterable<Timer>): Timer | undefined {
  let found: Timer | undefined;
  for (const timer of timers) if (!found || timer.at < found.at) found = timer;
  return found;
}
