/**
 * Why an audit log cannot be opened or written, in plain words, and what to do: for who looks before, for a start that fails, and
 * for calls that are refused meanwhile. Names no file: callers are told the same.
 */
import type { Words } from '../../core/failure.ts';

/** What the system's or our own error means. */
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

/** Of a log that another process writes. @param by its name */
export function inUse(by: string): Words {
  return {
    cause: 'audit_in_use',
    message: `is in use: ${by} writes it`,
    fix: 'stop that process, or give each sidecar a file of its own',
  };
}
