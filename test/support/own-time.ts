/**
 * Time of this process: a stopwatch that stops while the machine runs other processes, so a bound on a duration holds on a
 * busy machine and is as strict as before on a quiet one. Also the time limit for waiting for
 * what must happen at all.
 */
import { setImmediate, setTimeout } from 'node:timers/promises';

/** How long a test waits for what must happen, on any machine; it proves "does not hang" and nothing else. */
export const PATIENCE_MS = 30_000;

const TICK_MS = 10;

export interface OwnTime extends Disposable {
  readonly ms: number;
}

/** Only for work of this process: another process may have to wait while this one does not. */
export function startOwnTime(): OwnTime {
  let own = 0;
  let before = performance.now();
  const tick = () => {
    const now = performance.now();
    own += Math.min(now - before, 2 * TICK_MS);
    before = now;
  };
  const timer = setInterval(tick, TICK_MS);
  return {
    get ms() {
      tick();
      return own;
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

/** What `work` results in. @throws Error when it took more than `limitMs` of the time of this process */
export async function withinOwn<Result>(limitMs: number, work: () => PromiseLike<Result>): Promise<Result> {
  using own = startOwnTime();
  const result = await work();
  if (own.ms > limitMs) throw new Error(`took ${Math.round(own.ms)} ms, not ${limitMs}`);
  return result;
}

/** Resolves when everything on its way between sockets of this process has had every chance to arrive. */
export async function untilQuiet(): Promise<void> {
  for (let round = 0; round < 3; round += 1) {
    await setTimeout(TICK_MS);
    for (let turn = 0; turn < 10; turn += 1) await setImmediate();
  }
}
