/**
 * A time limit of the program that the test lets pass, instead of real time that a busy machine may use up before the work
 * is done. Replaces `AbortSignal.timeout` and `setTimeout`, only for times that belong to this limit.
 */

export interface Deadline extends Disposable {
  /** To be configured: differs from every other time limit of this process, and is longer than any test. */
  readonly ms: number;
  /** This much of it passes, for everything that waits for it now. */
  elapse(ms: number): void;
  /** It passes, for everything that waits for it now. */
  pass(): void;
}

interface Waiting {
  leftMs: number;
  readonly end: () => void;
}

/** Longer than anything the program waits for by itself. */
const LEAST_MS = 100_000_000;
/** Far apart, so that each is recognizable even when something was added to it or subtracted from it. */
const APART_MS = 1_000_000;
const platform = {
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  signal: AbortSignal.timeout,
};
const own = new Map<number, Set<Waiting>>();
const handles = new WeakMap<object, () => void>();

/** The platform's functions are restored when the last one is disposed. */
export function createDeadline(): Deadline {
  const ms = Math.max(LEAST_MS, ...own.keys()) + APART_MS;
  const waiting = new Set<Waiting>();
  own.set(ms, waiting);
  install();
  const elapse = (passedMs: number) => {
    for (const one of [...waiting]) {
      one.leftMs -= passedMs;
      if (one.leftMs > 0) continue;
      waiting.delete(one);
      one.end();
    }
  };
  return {
    ms,
    elapse,
    pass: () => elapse(2 * ms),
    [Symbol.dispose]() {
      own.delete(ms);
      if (own.size === 0) uninstall();
    },
  };
}

/** The waiters of the limit that this time belongs to. */
function waitingFor(delayMs: number | undefined): Set<Waiting> | undefined {
  return own.get(Math.round((delayMs ?? 0) / APART_MS) * APART_MS);
}

function install(): void {
  AbortSignal.timeout = (delayMs) => {
    const waiting = waitingFor(delayMs);
    if (!waiting) return platform.signal.call(AbortSignal, delayMs);
    const controller = new AbortController();
    const late = () => controller.abort(new DOMException('the deadline has passed', 'TimeoutError'));
    waiting.add({ leftMs: delayMs, end: late });
    return controller.signal;
  };
  globalThis.setTimeout = Object.assign(setHeld, platform.setTimeout) as typeof setTimeout;
  globalThis.clearTimeout = (timer) => {
    if (typeof timer === 'object') handles.get(timer)?.();
    platform.clearTimeout(timer);
  };
}

/** A timer that only the test moves, or one of the platform. */
function setHeld(run: (...args: unknown[]) => void, delayMs?: number, ...args: unknown[]): NodeJS.Timeout {
  const waiting = waitingFor(delayMs);
  const timer = platform.setTimeout(run, delayMs, ...args);
  if (!waiting || delayMs === undefined) return timer;
  const one: Waiting = {
    leftMs: delayMs,
    end() {
      platform.clearTimeout(timer);
      run(...args);
    },
  };
  waiting.add(one);
  handles.set(timer, () => waiting.delete(one));
  timer.refresh = () => {
    one.leftMs = delayMs;
    waiting.add(one);
    return timer;
  };
  return timer;
}

function uninstall(): void {
  AbortSignal.timeout = platform.signal;
  globalThis.setTimeout = platform.setTimeout;
  globalThis.clearTimeout = platform.clearTimeout;
}
