/**
 * Opens the file that a path names, if that is a file: not through a link, not waiting for anybody, not touching a device,
 * and never the content of what is there. It hides that others make and remove it between any two looks.
 */
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { FLUSHED, renameWithRetry } from '../../core/durable-fs.ts';

/** What files are opened, looked at and renamed with; replaced where a disk has to fail. */
export interface Disk {
  readonly open: (path: string, flags: number, mode?: number) => Promise<FileHandle>;
  readonly lstat: (path: string, options: { bigint: true }) => Promise<BigIntStats>;
  readonly rename: (from: string, to: string) => Promise<void>;
}

export const DISK: Disk = { open, lstat, rename: renameWithRetry };

/** What the path names must be left as it is; the message says what it is and what to do. */
export class NotOurs extends Error {
  readonly code = 'NOT_OURS';
}

export interface Found {
  readonly handle: FileHandle;
  readonly stats: BigIntStats;
}

/**
 * For reading and appending. O_NONBLOCK: should a pipe take the file's place just now, nobody waits for its reader. Windows
 * knows neither that nor links as files, and cuts nothing off a file that was opened for appending: writes say where.
 */
const FLAGS =
  constants.O_RDWR |
  FLUSHED |
  (process.platform === 'win32' ? 0 : constants.O_APPEND | constants.O_NOFOLLOW | constants.O_NONBLOCK);
const CREATE = FLAGS | constants.O_CREAT | constants.O_EXCL;

/** More often than this nobody comes in between. */
const TRIES = 5;

/** Made where there is none. @throws NotOurs, NodeJS.ErrnoException */
export async function openRegular(path: string, disk: Disk): Promise<Found> {
  for (let tries = 1; ; tries += 1) {
    try {
      const named = await disk.lstat(path, { bigint: true }).catch(undefinedIfNone);
      // Before it is opened, which alone can have effects on a device.
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
