/**
 * Why an audit log cannot be opened, in plain words, and what to do: for a start that fails, and for who looks before.
 */
import { dirname } from 'node:path';
import type { Words } from '../../core/failure.ts';

/** What is wrong with a log that cannot be opened. */
export function obstacle(error: unknown, path: string): Words {
  const { code, message } = error as NodeJS.ErrnoException;
  const folder = dirname(path);
  if (code === 'NOT_OURS') {
    const fix = 'nothing was changed; move it away, or give `audit.file` another name';
    return { cause: 'audit_not_ours', message, fix };
  }
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    const fix = 'create it, owned by the user that runs the sidecar (systemd: LogsDirectory=), or correct `audit.file`';
    return { cause: 'audit_folder_missing', message: `its folder ${folder} does not exist (${code})`, fix };
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS' || code === 'ERR_ACCESS_DENIED') {
    const fix = `let the user that runs the sidecar write ${path} and its folder; where Node runs with --permission, allow --allow-fs-write for it`;
    return { cause: 'audit_not_writable', message: `cannot be written by this user (${code})`, fix };
  }
  if (code === 'ENOSPC' || code === 'EDQUOT') return noRoom(folder);
  const fix = 'the code in brackets is the system’s own reason; correct `audit.file`';
  return { cause: 'audit_not_opened', message: `cannot be opened (${code})`, fix };
}

/** Of a log that another process writes. @param by its name */
export function inUse(by: string): Words {
  return {
    cause: 'audit_in_use',
    message: `is in use: ${by} writes it`,
    fix: 'stop that one, or give each sidecar a file of its own',
  };
}

function noRoom(folder: string): Words {
  const message = `there is no room on the disk of ${folder} (ENOSPC)`;
  return {
    cause: 'audit_disk_full',
    message,
    fix: 'make room there: move old files `FILE.*` of the log away, or give it a disk of its own',
  };
}
