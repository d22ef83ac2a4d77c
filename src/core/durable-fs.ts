/**
 * Files that are on disk when we say so: flushed or, under Node's permission model, which refuses fsync on every file,
 * written synchronously; and renamed even where others look at them at that moment.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';

/** Typed as if it were always there; it is only where `--permission` was given. */
const restricted = (process.permission as unknown) !== undefined;

/** To be added to the flags of files that are flushed. Windows has no such flag. */
export const FLUSHED: number = restricted ? (constants.O_SYNC ?? 0) : 0;

/**
 * Resolves when all that was written through this handle is on disk; of a folder, when files made, renamed or removed in it
 * are so. Windows knows no such thing of folders, and the permission model no way to it: there it happens when the system
 * likes, within seconds as a rule.
 */
export async function flush(what: FileHandle | string): Promise<void> {
  if (restricted || (typeof what === 'string' && process.platform === 'win32')) return;
  if (typeof what !== 'string') return await what.sync();
  const folder = await open(what, 'r');
  await folder.sync().finally(() => folder.close());
}

/** What it is done with; replaced where Windows has to be imitated. */
export interface RenameSystem {
  readonly platform: NodeJS.Platform;
  readonly rename: (from: string, to: string) => Promise<void>;
  readonly pause: (ms: number) => Promise<void>;
}

const HELD: ReadonlySet<string> = new Set(['EPERM', 'EACCES', 'EBUSY']);
/** Doubling, so 1.3 s in all: longer than a scanner takes, and shorter than anybody waits for a rotation. */
const PAUSES_MS = [10, 20, 40, 80, 160, 320, 640] as const;
const SYSTEM: RenameSystem = { platform: process.platform, rename, pause: (ms) => setTimeout(ms) };

/** As `rename`; elsewhere than on Windows these errors are final, and it fails at once. */
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
