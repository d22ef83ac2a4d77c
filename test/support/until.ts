/** Waits for a condition with a time limit; also for code outside of the test runner. */
import { setTimeout } from 'node:timers/promises';
import { PATIENCE_MS } from './own-time.ts';

/** @throws Error that names what did not become true within the limit */
export async function until(
  what: string,
  isTrue: () => boolean | Promise<boolean>,
  limitMs = PATIENCE_MS,
): Promise<void> {
  for (const deadline = Date.now() + limitMs; !(await isTrue()); await setTimeout(2)) {
    if (Date.now() > deadline) throw new Error(`not within ${limitMs} ms: ${what}`);
  }
}
