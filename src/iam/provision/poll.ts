/**
 * Helps provisioning with lists of Aritma IAM: reads them whole, repeats a look-up until a new item appears (lists lag
 * a little), and builds the error for what a person has to decide.
 */

import { SidecarError } from '../../core/errors.ts';
import type { RotationClock } from '../rotation/verification.ts';

/** ms between two looks; 30.5 s in all. */
const PAUSES_MS = [500, 1000, 2000, 4000, 8000, 15_000] as const;

/** Calls `look` until it finds something; undefined when it does not within 30 s. @throws what `look` throws */
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

/** Collects a stream into an array. */
export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

/**
 * Builds an IAM_CONFLICT.
 * @param where a file, a place in it, or `Aritma IAM`
 * @param message what is wrong and what to do
 */
export function conflict(where: string, message: string): SidecarError {
  return new SidecarError('IAM_CONFLICT', { problems: [{ where, path: '', message }] });
}
