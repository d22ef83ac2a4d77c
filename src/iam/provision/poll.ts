/**
 * Lists of Aritma IAM as provisioning needs them: whole, looked at again for what was made a moment ago (they may be a little
 * behind), and what people have to decide.
 */

import { SidecarError } from '../../core/errors.ts';
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

export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

/** @param where a file or a place in it, or who contradicts @param message what is the matter and what to do about it */
export function conflict(where: string, message: string): SidecarError {
  return new SidecarError('IAM_CONFLICT', { problems: [{ where, path: '', message }] });
}
