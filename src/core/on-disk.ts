/**
 * When is something written on disk, and not only in the system's memory? After fsync; or, under Node's permission model, which
 * refuses fsync on every file, after the write itself, if the file was opened for that.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

/** Typed as if it were always there; it is only where `--permission` was given. */
const restricted = (process.permission as unknown) !== undefined;

/** To be added to the flags of files that are flushed. Windows has no such flag. */
export const FLUSHED: number = restricted ? (constants.O_SYNC ?? 0) : 0;

/** Resolves when all that was written through this handle is on disk. */
export async function flush(file: FileHandle): Promise<void> {
  if (!restricted) await file.sync();
}

/**
 * Resolves when files made, renamed or removed in the folder are so on disk. Windows knows no such thing, and the permission
 * model no way to it: there it happens when the system likes, within seconds as a rule.
 */
export async function flushFolder(path: string): Promise<void> {
  if (restricted || process.platform === 'win32') return;
  const folder = await open(path, 'r');
  await folder.sync().finally(() => folder.close());
}
