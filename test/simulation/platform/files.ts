/** Open files and what a stat says, for both `node:fs` and `node:fs/promises`. */
import { constants } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DISK_ROOT, type Disk, diskError, type Inode } from './disk.ts';
import { platform, self } from './platform.ts';

const UID = process.getuid?.() ?? 0;

const PROGRAM = fileURLToPath(new URL('../../../', import.meta.url));

/**
 * True for what is on the simulated disk; of the real one there are only the files of the program, as its manifest.
 * @throws Error ENOENT for any other path: a history would depend on the machine that plays it
 */
export function isOnDisk(path: unknown, syscall = 'open'): path is string {
  const name = path instanceof URL ? fileURLToPath(path) : String(path);
  if (typeof path === 'string' && (path === DISK_ROOT || path.startsWith(`${DISK_ROOT}/`))) return true;
  if (name.startsWith(PROGRAM)) return false;
  throw diskError('ENOENT', syscall, name);
}

/** The disk, for one operation of the process that runs: it can be killed here. @throws Error of a killed one */
export function diskOfSelf(): Disk {
  if (!self().reachFile()) throw diskError('EKILLED', 'any', 'in a process that was killed');
  return platform().disk;
}

type Numbers = Record<'dev' | 'ino' | 'mode' | 'nlink' | 'uid' | 'gid' | 'size' | 'mtimeMs' | 'ctimeMs', number>;

export function statOf({ ino, kind, content, mode, modifiedMs, changedMs }: Inode, { bigint = false } = {}) {
  const isFile = kind === 'file';
  const numbers: Numbers = {
    ...{ dev: 1, ino, mode: mode | (isFile ? constants.S_IFREG : constants.S_IFDIR), nlink: 1 },
    ...{ uid: UID, gid: 0, size: content.length, mtimeMs: modifiedMs, ctimeMs: changedMs },
  };
  return Object.assign(bigint ? bigintsOf(numbers) : numbers, isFile ? IS_FILE : IS_FOLDER);
}

const [yes, no] = [() => true, () => false];
const IS_NEITHER = { isSymbolicLink: no, isFIFO: no, isSocket: no, isBlockDevice: no, isCharacterDevice: no };
const IS_FILE = { ...IS_NEITHER, isFile: yes, isDirectory: no };
const IS_FOLDER = { ...IS_NEITHER, isFile: no, isDirectory: yes };

function bigintsOf(stat: Numbers) {
  return {
    ...{ dev: BigInt(stat.dev), ino: BigInt(stat.ino), mode: BigInt(stat.mode), nlink: BigInt(stat.nlink) },
    ...{ uid: BigInt(stat.uid), gid: BigInt(stat.gid), size: BigInt(stat.size) },
    ...{ mtimeMs: BigInt(Math.floor(stat.mtimeMs)), mtimeNs: BigInt(Math.floor(stat.mtimeMs * 1000)) * 1000n },
    ...{ ctimeMs: BigInt(Math.floor(stat.ctimeMs)), ctimeNs: BigInt(Math.floor(stat.ctimeMs * 1000)) * 1000n },
  };
}

const FLAGS: Readonly<Record<string, number>> = {
  r: constants.O_RDONLY,
  'r+': constants.O_RDWR,
  w: constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC,
  wx: constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_EXCL,
  a: constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND,
  'a+': constants.O_RDWR | constants.O_CREAT | constants.O_APPEND,
};

/** An open file; its operations are synchronous, whoever uses them decides when they happen. */
export class OpenFile {
  readonly path: string;
  readonly inode: Inode;
  readonly #appends: boolean;
  #position = 0;

  /** @throws Error EEXIST | ENOENT | ENOSPC | EROFS */
  constructor(path: string, flags: string | number = 'r', mode = 0o666) {
    const bits = typeof flags === 'number' ? flags : (FLAGS[flags] ?? 0);
    const has = (bit: number) => (bits & bit) !== 0;
    if (has(constants.O_CREAT) && platform().disk.readOnly.has(dirname(path))) throw diskError('EROFS', 'open', path);
    this.path = path;
    this.inode = diskOfSelf().open(path, { create: has(constants.O_CREAT), exclusive: has(constants.O_EXCL), mode });
    this.#appends = has(constants.O_APPEND);
    if (has(constants.O_TRUNC)) diskOfSelf().truncate(this.inode, 0);
  }

  /** @returns the number of bytes read */
  read(into: Uint8Array, offset = 0, length = into.byteLength - offset, position: number | null = null): number {
    if (this.inode.kind === 'folder') throw diskError('EISDIR', 'read', this.path);
    const at = position ?? this.#position;
    const bytes = this.inode.content.subarray(at, at + length);
    into.set(bytes, offset);
    if (position === null) this.#position += bytes.length;
    return bytes.length;
  }

  write(bytes: Uint8Array, position: number | null = null): number {
    const at = this.#appends ? this.inode.content.length : (position ?? this.#position);
    const room = platform().disk.freeBytes + this.inode.content.length - at;
    const fits = room > 0 && room < bytes.length ? bytes.subarray(0, room) : bytes;
    diskOfSelf().write(this.inode, at, fits);
    if (position === null) this.#position = at + fits.length;
    return fits.length;
  }

  truncate(length = 0): void {
    diskOfSelf().truncate(this.inode, length);
  }

  flush(): void {
    diskOfSelf().flush(this.path, this.inode);
  }
}
