/**
 * Two things that every step of provisioning needs: a list as a whole, and the error that hands a decision back to people.
 */
import { SidecarError } from '../../core/errors.ts';

export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

/** @param where a file or a place in it, or who contradicts @param message what is the matter and what to do about it */
export function conflict(where: string, message: string): SidecarError {
  return new SidecarError('IAM_CONFLICT', { problems: [{ where, path: '', message }] });
}
