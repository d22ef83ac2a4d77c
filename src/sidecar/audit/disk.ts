/**
 * Opens the file at a path, only if it is a regular file: does not follow links, never blocks, does not open devices, and
 * does not change any content. Hides that other processes create and remove the file between two calls.
 */
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { FLUSHED, renameWithRetry } from '../../core/durable-fs.ts';

/** The file-system calls in use; tests replace them by failing ones. */
export interface Disk {
  readonly open: (path: string, flags: number, mode?: number) => Promise<FileHandle>;
  readonly lstat: (path: string, options: { bigint: true }) => Promise<BigIntStats>;
  readonly rename: (from: string, to: string) => Promise<void>;
}

export const DISK: Disk = { open, lstat, rename: renameWithRetry };

/** The file at the path is not an audit log and must not be changed; the message says what it is and what to do. */
export class NotOurs extends Error {
  readonly code = 'NOT_OURS';
}

export interface Found {
  readonly handle: FileHandle;
  readonly stats: BigIntStats;
}

/**
 * For reading and appending. O_NONBLOCK: does not block if a pipe has just replaced the file. Windows has neither O_NONBLOCK
 * nor O_NOFOLLOW, and cannot truncate a file opened with O_APPEND, so writes give their position.
 */
const FLAGS =
  constants.O_RDWR |
  FLUSHED |
  (process.platform === 'win32' ? 0 : constants.O_APPEND | constants.O_NOFOLLOW | constants.O_NONBLOCK);
const CREATE = FLAGS | constants.O_CREAT | constants.O_EXCL;

/** Enough tries against other processes that create and remove the file. */
const TRIES = 5;

/** Opens a regular file, and creates it when it is missing. @throws NotOurs, NodeJS.ErrnoException */
export async function openRegular(path: string, disk: Disk): Promise<Found> {
  for (let tries = 1; ; tries += 1) {
    try {
      const named = await disk.lstat(path, { bigint: true }).catch(undefinedIfNone);
      // Before opening: opening a device can already have effects.
      if (named) refuseOthers(named);
      const handle = await disk.open(path, named ? FLAGS : CREATE, 0o600);
      const stats = await handle.stat({ bigint: true });
      if (stats.isFile()) return { handle, stats };
      await handle.close();
    } catch (error) {
      if (tries === TRIES || !['EEXIST', 'ENOENT'].includes(codeOf(error))) throw error;
    }
  }
}

function undefinedIfNone(error: unknown): undefined {
  if (codeOf(error) !== 'ENOENT') throw error;
}

function refuseOthers(stats: BigIntStats): void {
  if (stats.isFile()) return;
  if (stats.isSymbolicLink())
    throw new NotOurs('is a symbolic link, and others can change its target: name the file itself');
  if (stats.isDirectory()) throw new NotOurs('is a folder: name a file in it');
  throw new NotOurs('is a pipe, a socket or a device, which stores nothing: name a file');
}

const codeOf = (error: unknown) => String((error as NodeJS.ErrnoException).code);
