/** Checks what the audit log needs before the sidecar starts, without changing anything: folder, file, lock, disk space. */
import { constants, lstatSync, statfsSync } from 'node:fs';
import { access, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Words } from '../../core/failure.ts';
import { DISK, type Disk, openRegular } from './disk.ts';
import { readEnd } from './file-set.ts';
import { inUse, obstacle } from './obstacles.ts';
import { heldBy } from './writer-lock.ts';

/**
 * Returns the first reason why the log cannot be opened; undefined when it can.
 * @param waitMs time for another writer that is just ending
 * @example
 * const reason = await auditObstacle('/var/log/aritma/audit.jsonl', 0);
 */
export async function auditObstacle(path: string, waitMs: number): Promise<Words | undefined> {
  try {
    const holder = await heldBy(path, waitMs);
    if (holder !== undefined) return inUse(holder);
    await lookInto(path);
    return undefined;
  } catch (error) {
    return obstacle(error);
  }
}

/** Enough for the entries of some hundred calls. */
const LEAST_BYTES = 256 * 1024;

/** Returns the failure when the disk is nearly full; undefined when it has room or the room is unknown. */
export function fullDisk(path: string): Words | undefined {
  try {
    const { bavail, bsize } = statfsSync(dirname(path));
    return bavail * bsize < LEAST_BYTES ? obstacle({ code: 'ENOSPC' }) : undefined;
  } catch {
    // Problems with the folder are reported separately.
    return undefined;
  }
}

/** Read-only access: creates nothing and opens nothing for writing. */
const LOOKING: Disk = {
  ...DISK,
  open(path, flags) {
    if ((flags & constants.O_CREAT) !== 0) throw Object.assign(new Error('there is none'), { code: 'ENOENT' });
    return open(path, constants.O_RDONLY | (flags & (constants.O_NOFOLLOW | constants.O_NONBLOCK)));
  },
};

async function lookInto(path: string): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) {
    await access(dirname(path), constants.W_OK | constants.X_OK);
    await readEnd(path, undefined, 0);
    return;
  }
  const { handle, stats } = await openRegular(path, LOOKING);
  try {
    await readEnd(path, handle, Number(stats.size));
  } finally {
    await handle.close();
  }
  await access(path, constants.W_OK);
}
