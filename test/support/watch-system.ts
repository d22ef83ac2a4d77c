/** Timers and events for `watchFiles` that happen when a test says so. */
import type { WatchSystem } from '../../src/config/watch.ts';

export interface HandWatch extends WatchSystem {
  subscribe: WatchSystem['subscribe'];
  /** Lets the time of one interval pass; fails unless that is the one in use. */
  pass(ms: number, times?: number): void;
  /** Interval in use; undefined = stopped. */
  readonly interval: number | undefined;
  /** Files of the subscription; undefined = there is none. */
  readonly subscribed: readonly string[] | undefined;
  /** Tells the subscriber that something may have changed. */
  event(): void;
  /** Makes subscriptions fail from now on; undefined = no longer. */
  fail(code: string | undefined): void;
}

/** @param subscribe real events, instead of those of the test */
export function createHandWatch(subscribe?: WatchSystem['subscribe']): HandWatch {
  const timers = new Set<{ readonly ms: number; readonly run: () => void }>();
  let subscription: { readonly files: readonly string[]; readonly onEvent: () => void } | undefined;
  let failure: string | undefined;
  const interval = () => {
    if (timers.size > 1) throw new Error('more than one timer');
    return [...timers][0]?.ms;
  };
  return {
    every(ms, run) {
      const timer = { ms, run };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    subscribe(files, onEvent) {
      if (failure !== undefined) throw Object.assign(new Error(), { code: failure });
      const end = subscribe?.(files, onEvent);
      subscription = { files, onEvent };
      return () => {
        end?.();
        subscription = undefined;
      };
    },
    pass(ms, times = 1) {
      for (let time = 0; time < times; time += 1) {
        if (interval() !== ms) throw new Error(`the interval is ${interval()} ms`);
        for (const { run } of [...timers]) run();
      }
    },
    get interval() {
      return interval();
    },
    get subscribed() {
      return subscription?.files;
    },
    event: () => subscription?.onEvent(),
    fail(code) {
      failure = code;
    },
  };
}
