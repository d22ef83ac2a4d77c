/**
 * Why a file could not be written, in words: what the system's code means for whoever set this up, and what to do.
 */
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Words } from './failure.ts';

/** Undefined where the code alone does not say. @param path of the file, as it was configured */
export function writeFailure(errno: string, path: string): Words | undefined {
  const folder = dirname(path);
  if (errno === 'ENOENT' && isThere(folder)) return undefined;
  return WORDS[errno]?.(folder, path);
}

const WORDS: Readonly<Record<string, (folder: string, path: string) => Words>> = {
  ENOENT: (folder) => ({
    cause: 'folder_missing',
    message: `the folder ${folder} does not exist (ENOENT)`,
    fix: `create ${folder}, owned by the user that runs this`,
  }),
  ENOTDIR: (folder) => ({
    cause: 'folder_missing',
    message: `${folder} is no folder (ENOTDIR)`,
    fix: 'correct the path of the file',
  }),
  EACCES: (folder, path) => ({
    cause: 'folder_not_writable',
    message: `this user may not write ${path} (EACCES)`,
    fix: `let the user that runs this write in ${folder}: chown it to that user`,
  }),
  EROFS: (folder) => ({
    cause: 'folder_not_writable',
    message: `${folder} is on a file system that is mounted read-only (EROFS)`,
    fix: 'use another folder, or make this one writable (systemd: ReadWritePaths=)',
  }),
  ENOSPC: (folder) => ({
    cause: 'disk_full',
    message: `the disk of ${folder} is full (ENOSPC)`,
    fix: 'make room there',
  }),
  EBUSY: (_folder, path) => ({
    cause: 'file_mounted',
    message: `${path} is mounted by itself, so it cannot be replaced (EBUSY)`,
    fix: 'mount the folder that it is in',
  }),
  EPERM: (_folder, path) => ({
    cause: 'file_of_another_user',
    message: `the owner of ${path} cannot be kept by this user (EPERM)`,
    fix: 'run this as the owner of the file, or as root',
  }),
};

function isThere(path: string): boolean {
  try {
    return existsSync(path);
  } catch {
    // Node's permission model lets nobody ask.
    return true;
  }
}
