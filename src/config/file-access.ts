/** Finds out who else can read or replace a file with a secret. */
import { realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

export interface Doubt {
  readonly cause: 'file_readable_by_others' | 'file_of_another_user' | 'folder_writable_by_others';
  /** Follows `the secret file`. */
  readonly message: string;
  readonly fix: string;
}

/**
 * Finds out who else can read or replace a secret file. Returns nothing on Windows, which has no such modes and owners.
 * @param modeCounts false in a pod, where the mode must admit any user
 */
export function accessDoubts(path: string, modeCounts: boolean): Doubt[] {
  const self = process.getuid?.();
  if (!modeCounts || self === undefined) return [];
  const { mode, uid } = statSync(path);
  const doubts: Doubt[] = [];
  const octal = (mode & 0o777).toString(8);
  if ((mode & 0o077) !== 0) {
    const others = mode & 0o007 ? 'every user on this machine' : 'its group';
    const what = mode & 0o022 ? 'changed' : 'read';
    const message = `${path} can be ${what} by ${others} (mode ${octal})`;
    doubts.push({ cause: 'file_readable_by_others', message, fix: `chmod 600 ${path}` });
  }
  // root can read everything, and container platforms mount secrets as root.
  if (uid !== self && uid !== 0) {
    const message = `${path} belongs to user ${uid}, but this runs as user ${self}: its owner can replace the secret`;
    const fix = `chown it to the user that runs the sidecar; if that is user ${uid}, run check as that user`;
    doubts.push({ cause: 'file_of_another_user', message, fix });
  }
  const open = openFolder(path);
  if (open !== undefined) {
    const message = `${path} is below ${open}, where every user on this machine can replace it`;
    doubts.push({
      cause: 'folder_writable_by_others',
      message,
      fix: `chmod o-w ${open}, or keep the secret elsewhere`,
    });
  }
  return doubts;
}

/** The first folder above the file or its link target that every user can change; `+t` protects it (chmod(1)). */
function openFolder(path: string): string | undefined {
  try {
    const above = [...foldersAbove(path), ...foldersAbove(realpathSync.native(path))];
    return above.find((folder) => (statSync(folder).mode & 0o1002) === 0o002);
  } catch {
    // Node's permission model hides most folders.
    return undefined;
  }
}

function foldersAbove(path: string): string[] {
  const folder = dirname(path);
  return folder === path ? [] : [folder, ...foldersAbove(folder)];
}

interface Access {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly warnings: string[];
  readonly platform?: NodeJS.Platform;
}

/** Warns about every other user who can read or replace a file with a secret. */
export function warnOfAccess(path: string, { env, warnings, platform = process.platform }: Access): void {
  // In a pod, only containers that mount the Secret can read it, and its mode must admit a user other than root.
  const modeCounts = platform !== 'win32' && env['KUBERNETES_SERVICE_HOST'] === undefined;
  for (const { message, fix } of accessDoubts(path, modeCounts)) warnings.push(`secret file ${message}; ${fix}`);
}
