/**
 * The deadline of token requests as something a test lets pass, instead of a time that a busy machine may use up before the
 * work is done. Hides that it stands in for `AbortSignal.timeout`, and for no deadline but those that are its own.
 */

export interface Deadline extends Disposable {
  /** To be configured: like no other deadline of this process, and longer than any test. */
  readonly ms: number;
  /** It passes now, for every request that is under way. */
  pass(): void;
}

const LEAST_MS = 600_000;
const platform = AbortSignal.timeout;
const own = new Map<number, Set<AbortController>>();

/** The platform has its own back when the last one is disposed. */
export function createDeadline(): Deadline {
  const ms = Math.max(LEAST_MS, ...own.keys()) + 1;
  const controllers = new Set<AbortController>();
  own.set(ms, controllers);
  AbortSignal.timeout = (delayMs) => {
    const mine = own.get(delayMs);
    if (!mine) return platform.call(AbortSignal, delayMs);
    const controller = new AbortController();
    mine.add(controller);
    return controller.signal;
  };
  return {
    ms,
    pass() {
      for (const controller of controllers)
        controller.abort(new DOMException('the deadline has passed', 'TimeoutError'));
      controllers.clear();
    },
    [Symbol.dispose]() {
      own.delete(ms);
      if (own.size === 0) AbortSignal.timeout = platform;
    },
  };
}
