// Collects the garbage now, in a Node that was started without --expose-gc. Who compares two measures of memory collects
// before both: what others have left behind would be counted in the first, and collected before the second.
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');

/** Collects what nobody holds, at once. What is only weakly held lives to the end of its turn of the event loop. */
export const collectGarbage = runInNewContext('gc') as () => void;

/** Collects everything that can be collected, weakly held things too. */
export async function collectAllGarbage(): Promise<void> {
  for (let round = 0; round < 3; round += 1) {
    await setImmediate();
    collectGarbage();
  }
}
