/** `node:fs` on the simulated disk, for paths that are on it. */
// biome-ignore lint/performance/noBarrelFile: it takes the place of a module of Node
export * from 'node:fs';

import { EventEmitter } from 'node:events';
import * as real from 'node:fs';
import { posix } from 'node:path';
import { Readable } from 'node:stream';
import { diskError } from '../disk.ts';
import { diskOfSelf, isOnDisk, OpenFile, statOf } from '../files.ts';
import { platform, self } from '../platform.ts';

type Stat = (path: string, options?: { bigint?: boolean; throwIfNoEntry?: boolean }) => unknown;

const EXT4 = 0xef53;
const FIRST_HANDLE = 1_000_000;
const EVENT_MS = 1;
const handles = new Map<number, OpenFile>();
let lastHandle = FIRST_HANDLE;

function stat(original: Stat): Stat {
  return (path, options = {}) => {
    if (options.throwIfNoEntry === false && !existsSync(path)) return undefined;
    return isOnDisk(path, 'stat') ? statOf(diskOfSelf().find(path), options) : original(path, options);
  };
}

export const statSync = stat(real.statSync as Stat);
export const lstatSync = stat(real.lstatSync as Stat);

export function existsSync(path: string): boolean {
  try {
    return isOnDisk(path) ? diskOfSelf().has(path) : real.existsSync(path);
  } catch {
    return false;
  }
}

export function openSync(path: string, flags: string | number = 'r', mode?: number): number {
  if (!isOnDisk(path)) return real.openSync(path, flags, mode);
  lastHandle += 1;
  handles.set(lastHandle, new OpenFile(path, flags, mode));
  return lastHandle;
}

export function closeSync(handle: number): void {
  if (!handles.delete(handle)) real.closeSync(handle);
}

export function fstatSync(handle: number): unknown {
  const file = handles.get(handle);
  return file ? statOf(file.inode) : real.fstatSync(handle);
}

export function readSync(...[handle, into, ...rest]: [number, Uint8Array, number, number, number | null]): number {
  const file = handles.get(handle);
  return file ? file.read(into, ...rest) : real.readSync(handle, into, ...rest);
}

export function readFileSync(path: string | URL, encoding?: BufferEncoding): string | Buffer {
  if (path === '/proc/self/limits') return LIMITS;
  const [, pid] = /^\/proc\/(\d+)\/stat$/.exec(String(path)) ?? [];
  if (pid !== undefined) return procStat(Number(pid));
  const content = isOnDisk(path) ? diskOfSelf().find(path, 'open').content : real.readFileSync(path);
  return encoding === undefined ? content : content.toString(encoding);
}

/** As of getrlimit(2): more than anything here needs. */
const LIMITS = 'Max open files            1048576              1048576              files     \n';
const STANDARD = ['0', '1', '2'];

/** proc(5): fields 3 and 22 are the state and the start time. */
function procStat(pid: number): string {
  const found = self().machine.processes.get(pid);
  if (!found?.isAlive) throw diskError('ENOENT', 'open', `/proc/${pid}/stat`);
  return `${pid} (sidecar) S ${'0 '.repeat(18)}${found.startedAt} 0`;
}

export function createReadStream(path: string): Readable {
  if (!isOnDisk(path)) return real.createReadStream(path);
  return Readable.from([Buffer.from(diskOfSelf().find(path, 'open').content)], { objectMode: false });
}

export function readdirSync(path: string): string[] {
  if (path === '/proc/self/fd') return STANDARD;
  return isOnDisk(path) ? diskOfSelf().list(path) : real.readdirSync(path);
}

export function unlinkSync(path: string): void {
  if (isOnDisk(path)) diskOfSelf().remove(path);
  else real.unlinkSync(path);
}

const realpath = (path: string) => (isOnDisk(path) ? path : real.realpathSync.native(path));
export const realpathSync = Object.assign(realpath, { native: realpath });

export function readlinkSync(path: string): string {
  if (isOnDisk(path)) throw diskError('EINVAL', 'readlink', path);
  return real.readlinkSync(path);
}

export function statfsSync(path: string): unknown {
  return isOnDisk(path) ? { type: EXT4, bsize: 1, bavail: platform().disk.freeBytes } : real.statfsSync(path);
}

/** Tells of changes of the path and of what is directly in it. */
export function watch(place: string, _options: object, onEvent: () => void): EventEmitter {
  if (!isOnDisk(place, 'watch')) throw diskError('ENOENT', 'watch', place);
  const owner = self();
  let isOpen = true;
  const stop = platform().disk.watch((path) => {
    const isNear = path === place || posix.dirname(path) === place;
    if (isNear) platform().time.after(EVENT_MS, owner, () => isOpen && onEvent());
  });
  const close = () => {
    isOpen = false;
    disown();
    stop();
  };
  const disown = owner.onKill(stop);
  return Object.assign(new EventEmitter(), { close });
}
