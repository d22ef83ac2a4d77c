/**
 * Time as this process has it: a stopwatch that stands still while the machine gives its time to others, so that a bound on
 * how long something may take holds on a busy machine and is as strict as ever on a quiet one. Also the limit for waiting for
 * what must happen at all.
 */
import { setImmediate, setTimeout } from 'node:timers/promises';

/** How long a test waits for what must happen, however busy the machine is; it proves "does not hang" and nothing else. */
export const PATIENCE_MS = 30_000;

const TICK_MS = 10;

export interface OwnTime extends Disposable {
  readonly ms: number;
}

/** Only for work of this process: another one may be kept waiting while this one is not. */
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

/** Resolves when whatever was on its way between sockets of this process has had every chance to arrive. */
export async function untilQuiet(): Promise<void> {
  for (let round = 0; round < 3; round += 1) {
    await setTimeout(TICK_MS);
    for (let turn = 0; turn < 10; turn += 1) await setImmediate();
  }
}
