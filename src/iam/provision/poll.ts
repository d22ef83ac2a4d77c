/**
 * Looking again for what was made a moment ago: lists may be a little behind.
 */
import type { RotationClock } from '../rotation/verification.ts';

/** Half a minute in all. */
const PAUSES_MS = [500, 1000, 2000, 4000, 8000, 15_000] as const;

/** Undefined when it is still not there at the end. @throws what `look` throws */
export async function poll<T>(
  look: () => Promise<T | undefined>,
  { sleep }: Pick<RotationClock, 'sleep'>,
): Promise<T | undefined> {
  for (const pauseMs of PAUSES_MS) {
    const found = await look();
    if (found !== undefined) return found;
    await sleep(pauseMs);
  }
  return look();
}
