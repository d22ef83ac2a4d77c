/**
 * Reads the files of a configuration: only regular files, up to a size limit. A pipe could hang the process, a device
 * could never end. Follows symbolic links, which Kubernetes and systemd use to provide files. Also finds out who else
 * could change such a file.
 */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs';
import { dirname } from 'node:path';

/** Why a file cannot be used; the message follows the file name. `code` is the system's. */
class Unreadable extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Reads a whole file. Never blocks on a pipe, socket or device.
 * @throws Error with `code` and a message that says why and what to do, without the path
 */
export function readRegularFile(path: string, maxBytes: number): Buffer {
  let file: number | undefined;
  try {
    // Checked before opening: opening a device can have effects.
    refuseOthers(statSync(path));
    file = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0));
    refuseOthers(fstatSync(file));
    return readWhole(file, maxBytes);
  } catch (error) {
    if (error instanceof Unreadable) throw error;
    throw unreadable(path, String((error as NodeJS.ErrnoException).code));
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function unreadable(path: string, code: string): Unreadable {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is these that are looked for
  const isEscaped = /[\x07-\x0d\x1b]/.test(path) && !path.includes('-----');
  if (isEscaped) {
    const why = 'in double quotes, YAML reads \\t and \\n in a path as tab and line break; use single quotes';
    return new Unreadable(code, `cannot be read (${code}): ${why}`);
  }
  // A dangling link looks like a file in a folder listing.
  const isDangling = code === 'ENOENT' && lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink();
  if (isDangling) return new Unreadable(code, `is a symbolic link to a missing file (${code})`);
  return new Unreadable(code, `cannot be read (${code}); check path and permissions`);
}

function refuseOthers(stats: Stats): void {
  if (stats.isFile()) return;
  if (stats.isDirectory()) throw new Unreadable('EISDIR', 'cannot be read (EISDIR); check path and permissions');
  const what = stats.isFIFO() ? 'a pipe' : stats.isSocket() ? 'a socket' : 'a device';
  throw new Unreadable(
    'ENOTREG',
    `is ${what}, not a regular file: reading it could block forever. Write the content to a file`,
  );
}

/** Reads to the end: files of the kernel report size 0. */
function readWhole(file: number, maxBytes: number): Buffer {
  const room = Buffer.allocUnsafe(maxBytes + 1);
  let length = 0;
  for (;;) {
    const read = readSync(file, room, length, room.length - length, null);
    length += read;
    if (length > maxBytes)
      throw new Unreadable('EFBIG', `is larger than ${maxBytes / 1024} KiB; is it the right file?`);
    if (read === 0) return Buffer.from(room.subarray(0, length));
  }
}

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
