/**
 * Reads the files a configuration names: regular ones, to the end, within a bound. A pipe would hang the process, a device
 * never end. Hides opening, looking and reading; links are followed, since Kubernetes and systemd hand files over by links:
 * what counts is what they lead to. And who else could change such a file.
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

/** Why a file cannot be used, in words that fit behind its name; `code` as the system has it. */
class Unreadable extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Never blocks on what is no file of a disk. @param maxBytes for the whole of it
 * @throws Error whose message says why, without the path, and what to do; with `code`
 */
export function readRegularFile(path: string, maxBytes: number): Buffer {
  let file: number | undefined;
  try {
    // Before it is opened, which alone can have effects on a device.
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
    const why = 'in double quotes, YAML reads \\t and \\n of a path as tab and line break; put it in single quotes';
    return new Unreadable(code, `cannot be read (${code}): ${why}`);
  }
  // A link to nowhere looks like a file to whoever lists the folder.
  const isDangling = code === 'ENOENT' && lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink();
  if (isDangling)
    return new Unreadable(code, `is a symbolic link to a file that does not exist (${code}), so it cannot be read`);
  return new Unreadable(code, `cannot be read (${code}); check path and permissions`);
}

function refuseOthers(stats: Stats): void {
  if (stats.isFile()) return;
  if (stats.isDirectory()) throw new Unreadable('EISDIR', 'cannot be read (EISDIR); check path and permissions');
  const what = stats.isFIFO() ? 'a pipe' : stats.isSocket() ? 'a socket' : 'a device';
  throw new Unreadable('ENOTREG', `is ${what} and no regular file, so it could hang or never end; write it to a file`);
}

/** What the kernel makes up has no size before it is read. */
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
  /** Whole sentences but for `the secret file` in front. */
  readonly message: string;
  readonly fix: string;
}

/**
 * Who else can read a secret or put another in its place. Windows has no such modes and owners.
 * @param modeCounts false in a pod, where what mounts a Secret can read it and the mode has to let in any user
 */
export function accessDoubts(path: string, modeCounts: boolean): Doubt[] {
  const self = process.getuid?.();
  if (!modeCounts || self === undefined) return [];
  const { mode, uid } = statSync(path);
  const doubts: Doubt[] = [];
  const octal = (mode & 0o777).toString(8);
  if ((mode & 0o077) !== 0) {
    const others = mode & 0o007 ? 'everybody on this machine' : 'the group it belongs to';
    const what = mode & 0o022 ? 'changed' : 'read';
    const message = `${path} can be ${what} by ${others} (mode ${octal})`;
    doubts.push({ cause: 'file_readable_by_others', message, fix: `chmod 600 ${path}` });
  }
  // root can read everything anyway, and container platforms mount secrets as root's.
  if (uid !== self && uid !== 0) {
    const message = `${path} belongs to user ${uid}, but this runs as user ${self}: its owner can replace the secret`;
    const fix = `chown it to the user that runs the sidecar; if that is user ${uid}, run check as that user`;
    doubts.push({ cause: 'file_of_another_user', message, fix });
  }
  const open = openFolder(path);
  if (open !== undefined) {
    const message = `${path} is below ${open}, where everybody on this machine can put another file in its place`;
    doubts.push({
      cause: 'folder_writable_by_others',
      message,
      fix: `chmod o-w ${open}, or keep the secret elsewhere`,
    });
  }
  return doubts;
}

/** The first folder above the name or what it leads to that everybody can change; `+t` keeps others' files safe there (chmod(1)). */
function openFolder(path: string): string | undefined {
  try {
    const above = [...foldersAbove(path), ...foldersAbove(realpathSync.native(path))];
    return above.find((folder) => (statSync(folder).mode & 0o1002) === 0o002);
  } catch {
    // Under Node's permission model most folders cannot be looked at.
    return undefined;
  }
}

function foldersAbove(path: string): string[] {
  const folder = dirname(path);
  return folder === path ? [] : [folder, ...foldersAbove(folder)];
}
