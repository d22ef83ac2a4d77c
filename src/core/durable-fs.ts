/**
 * Durable writes and renames. Node's permission model refuses fsync, so there files are written synchronously instead.
 * On Windows, a rename is retried while another program has the file open.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';

/** The types claim it always exists; it exists only with `--permission`. */
const restricted = (process.permission as unknown) !== undefined;

/** Add to the open flags of a file that is flushed. Windows has no such flag: 0 there. */
export const FLUSHED: number = restricted ? (constants.O_SYNC ?? 0) : 0;

/**
 * Resolves when everything written through a handle is on disk; for a folder, when its created, renamed and removed
 * entries are. Does nothing for folders on Windows, and nothing under the permission model: there the system writes
 * folders when it likes, usually within seconds.
 */
export async function flush(what: FileHandle | string): Promise<void> {
  if (restricted || (typeof what === 'string' && process.platform === 'win32')) return;
  if (typeof what !== 'string') return await what.sync();
  const folder = await open(what, 'r');
  await folder.sync().finally(() => folder.close());
}

/** The system calls of a rename; tests replace them to imitate Windows. */
export interface RenameSystem {
  readonly platform: NodeJS.Platform;
  readonly rename: (from: string, to: string) => Promise<void>;
  readonly pause: (ms: number) => Promise<void>;
}

const HELD: ReadonlySet<string> = new Set(['EPERM', 'EACCES', 'EBUSY']);
/** 1.3 s in total: longer than a virus scanner holds a file, shorter than a rotation may take. */
const PAUSES_MS = [10, 20, 40, 80, 160, 320, 640] as const;
const SYSTEM: RenameSystem = { platform: process.platform, rename, pause: (ms) => setTimeout(ms) };

/** As `rename`. On Windows, retries while another program holds the file; elsewhere fails at once. */
export async function renameWithRetry(from: string, to: string, system: RenameSystem = SYSTEM): Promise<void> {
  for (const pauseMs of system.platform === 'win32' ? PAUSES_MS : []) {
    try {
      return await system.rename(from, to);
    } catch (error) {
      if (!HELD.has(String((error as NodeJS.ErrnoException).code))) throw error;
    }
    await system.pause(pauseMs);
  }
  return await system.rename(from, to);
}
