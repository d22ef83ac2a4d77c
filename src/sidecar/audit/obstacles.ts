/**
 * Why an audit log cannot be opened or written, and what to do: for checks, for a failed start, and for refused calls. The
 * texts name no file, because callers see them, too.
 */
import type { Words } from '../../core/failure.ts';

/**
 * Returns cause, message and fix for an error of the system, or for `NotOurs`.
 * @example
 * obstacle({ code: 'ENOSPC' }).cause; // 'audit_disk_full'
 */
export function obstacle(error: unknown): Words {
  const { code = 'unknown', message } = error as NodeJS.ErrnoException;
  if (code === 'NOT_OURS') {
    const fix = 'nothing was changed; move it away, or set `audit.file` to another name';
    return { cause: 'audit_not_ours', message, fix };
  }
  const row = ROWS.find(({ codes }) => codes.test(code)) ?? OTHERWISE;
  return { cause: row.cause, message: `${row.message} (${code})`, fix: row.fix };
}

const ROWS: readonly (Words & { readonly codes: RegExp })[] = [
  {
    codes: /^(ENOENT|ENOTDIR)$/,
    cause: 'audit_folder_missing',
    message: 'its folder does not exist',
    fix: 'create it, owned by the user that runs the sidecar (systemd: LogsDirectory=), or correct `audit.file`',
  },
  {
    codes: /^(EACCES|EPERM|EROFS|ERR_ACCESS_DENIED)$/,
    cause: 'audit_not_writable',
    message: 'this user may not write it',
    fix: 'allow the user that runs the sidecar to write the file and its folder; if Node runs with --permission, add --allow-fs-write for the folder',
  },
  {
    codes: /^(ENOSPC|EDQUOT)$/,
    cause: 'audit_disk_full',
    message: 'there is no room on its disk',
    fix: 'make room there: move old log files away, or give the log a disk of its own',
  },
];

const OTHERWISE: Words = {
  cause: 'audit_not_usable',
  message: 'its disk or file system reports an error',
  fix: 'check the disk; the code in brackets is the reason that the system gives',
};

/** Returns the failure of a log that another process writes. @param by name of that process */
export function inUse(by: string): Words {
  return {
    cause: 'audit_in_use',
    message: `is in use: ${by} writes it`,
    fix: 'stop that process, or give each sidecar a file of its own',
  };
}
