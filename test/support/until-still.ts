/** Resolves when the value has not changed for a fifth of a second: buffers are full, or empty. */
import { setTimeout } from 'node:timers/promises';

export async function untilStill(value: () => number): Promise<void> {
  for (let before = Number.NaN; before !== value(); ) {
    before = value();
    await setTimeout(200);
  }
}
