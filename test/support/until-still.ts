/** Resolves when a value of this process no longer changes: buffers are full, or empty. */
import { untilQuiet } from './own-time.ts';

export async function untilStill(value: () => number): Promise<void> {
  let still = 0;
  for (let before = Number.NaN; still < 5; still = before === value() ? still + 1 : 0) {
    before = value();
    await untilQuiet();
  }
}
