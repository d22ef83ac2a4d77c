/**
 * Explains why a file could not be written: what the error code means and what to do.
 */
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Words } from './failure.ts';

/** Returns undefined when the code alone does not explain it. @param path of the file, as configured */
export function writeFailure(errno: string, path: string): Words | undefined {
  const folder = dirname(path);
  if (errno === 'ENOENT' && isThere(folder)) return undefined;
  return WORDS[errno]?.(folder, path);
}

const WORDS: Readonly<Record<string, (folder: string, path: string) => Words>> = {
  ENOENT: (folder) => ({
    cause: 'folder_missing',
    message: `the folder ${folder} does not exist (ENOENT)`,
    fix: `create ${folder}, owned by the user that runs this program`,
  }),
  ENOTDIR: (folder) => ({
    cause: 'folder_missing',
    message: `${folder} is not a folder (ENOTDIR)`,
    fix: 'correct the path of the file',
  }),
  EACCES: (folder, path) => ({
    cause: 'folder_not_writable',
    message: `this user has no permission to write ${path} (EACCES)`,
    fix: `chown ${folder} to the user that runs this program`,
  }),
  EROFS: (folder) => ({
    cause: 'folder_not_writable',
    message: `${folder} is on a file system that is mounted read-only (EROFS)`,
    fix: 'use another folder, or make this one writable (systemd: ReadWritePaths=)',
  }),
  ENOSPC: (folder) => ({
    cause: 'disk_full',
    message: `the disk of ${folder} is full (ENOSPC)`,
    fix: 'free space on that disk',
  }),
  EBUSY: (_folder, path) => ({
    cause: 'file_mounted',
    message: `${path} is itself a mount, so it cannot be replaced (EBUSY)`,
    fix: 'mount its folder instead of the file',
  }),
  EPERM: (_folder, path) => ({
    cause: 'file_of_another_user',
    message: `this user cannot preserve the owner of ${path} (EPERM)`,
    fix: 'run this program as the owner of the file, or as root',
  }),
};

function isThere(path: string): boolean {
  try {
    return existsSync(path);
  } catch {
    // Node's permission model refuses the check.
    return true;
  }
}
