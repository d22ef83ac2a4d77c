/**
 * A disk that survives its processes. What was written is in memory until it is flushed: at a loss of power, contents that were
 * not flushed may be there, half there or not at all, and of the entries of folders changed since their last flush the first
 * few are there. A killed process loses nothing of what it has written.
 */
import { posix } from 'node:path';
import type { Chance } from '../../support/seeded.ts';
import type { VirtualTime } from './virtual-time.ts';

export interface Inode {
  readonly ino: number;
  readonly kind: 'file' | 'folder';
  content: Buffer;
  /** What is on the medium. */
  flushed: Buffer;
  /** Lowest position of a byte that was written or cut off since. */
  changedFrom: number;
  mode: number;
  modifiedMs: number;
  changedMs: number;
}

/** A change of an entry that is not yet on the medium; `inode` undefined = removed. */
interface Change {
  readonly folder: string;
  readonly entries: readonly (readonly [path: string, inode: Inode | undefined])[];
}

export const DISK_ROOT = '/sim';

export class Disk {
  readonly #time: VirtualTime;
  readonly #chance: Chance;
  readonly #entries = new Map<string, Inode>();
  readonly #flushedEntries = new Map<string, Inode>();
  readonly #changes: Change[] = [];
  readonly #watchers = new Set<(path: string) => void>();
  #nextIno = 2;
  #capacity = Number.POSITIVE_INFINITY;
  /** Folders in which processes can make no file. */
  readonly readOnly = new Set<string>();
  /** Each may have brought back what a file held before. */
  powerLosses = 0;
  /** How much longer each operation takes at most. */
  slowMs = 0;

  constructor(time: VirtualTime, chance: Chance) {
    this.#time = time;
    this.#chance = chance;
    for (const path of ['/', DISK_ROOT]) this.#put(path, this.#create('folder', 0o755), true);
  }

  /** Bytes that still fit; Infinity = enough. */
  get freeBytes(): number {
    return this.#capacity === Number.POSITIVE_INFINITY ? this.#capacity : this.#capacity - this.#used();
  }

  set freeBytes(bytes: number) {
    this.#capacity = bytes + this.#used();
  }

  /** @throws Error ENOENT */
  find(path: string, syscall = 'stat'): Inode {
    const inode = this.#entries.get(path);
    if (!inode) throw diskError('ENOENT', syscall, path);
    return inode;
  }

  has(path: string): boolean {
    return this.#entries.has(path);
  }

  list(folder: string): string[] {
    const names = [...this.#entries.keys()].filter((path) => path !== folder && posix.dirname(path) === folder);
    return names.map((path) => posix.basename(path)).sort();
  }

  makeFolder(path: string): void {
    this.#put(path, this.#create('folder', 0o755), false);
  }

  /** A new empty file, or the one that is there. @throws Error EEXIST | ENOENT | ENOSPC */
  open(path: string, { create = false, exclusive = false, mode = 0o644 } = {}): Inode {
    const known = this.#entries.get(path);
    if (known && exclusive) throw diskError('EEXIST', 'open', path);
    if (known) return known;
    if (!create || !this.#entries.has(posix.dirname(path))) throw diskError('ENOENT', 'open', path);
    if (this.freeBytes <= 0) throw diskError('ENOSPC', 'open', path);
    const inode = this.#create('file', mode);
    this.#put(path, inode, false);
    return inode;
  }

  /** @throws Error ENOSPC when it does not fit; then nothing is written */
  write(inode: Inode, at: number, bytes: Uint8Array): void {
    const grown = Math.max(0, at + bytes.length - inode.content.length);
    if (grown > this.freeBytes) throw diskError('ENOSPC', 'write', '');
    this.#change(inode, written(inode.content, at, bytes), at);
  }

  truncate(inode: Inode, length: number): void {
    const content = Buffer.alloc(length);
    inode.content.copy(content);
    this.#change(inode, content, length);
  }

  setMode(path: string, mode: number): void {
    const inode = this.find(path, 'chmod');
    inode.mode = mode;
    inode.changedMs = this.#time.nowMs;
    this.#tell(path);
  }

  setTime(path: string, ms: number): void {
    this.find(path, 'utime').modifiedMs = ms;
  }

  /** A second name. @throws Error EEXIST | ENOENT */
  link(from: string, to: string): void {
    if (this.#entries.has(to)) throw diskError('EEXIST', 'link', to);
    this.#record(posix.dirname(to), [[to, this.find(from, 'link')]]);
  }

  rename(from: string, to: string): void {
    const inode = this.find(from, 'rename');
    this.#record(posix.dirname(to), [
      [from, undefined],
      [to, inode],
    ]);
  }

  remove(path: string): void {
    this.find(path, 'unlink');
    this.#record(posix.dirname(path), [[path, undefined]]);
  }

  /** As fsync: of a file its content, of a folder its entries. */
  flush(path: string, inode: Inode): void {
    if (inode.kind === 'file') Object.assign(inode, { flushed: inode.content, changedFrom: Number.POSITIVE_INFINITY });
    else this.#settle(this.#changes.filter(({ folder }) => folder === path));
  }

  /** The power fails. Processes on it have to be killed, too. */
  losePower(): void {
    this.powerLosses += 1;
    this.#settle(this.#changes.slice(0, this.#chance.between(0, this.#changes.length)));
    this.#changes.length = 0;
    this.#entries.clear();
    for (const [path, inode] of this.#flushedEntries) this.#entries.set(path, inode);
    for (const inode of new Set(this.#entries.values())) {
      const { content, flushed } = inode;
      // What was appended or written at the end may be there in part; what was flushed before it stays.
      const least = Math.min(content.length, flushed.length, inode.changedFrom);
      const torn = content.subarray(0, this.#chance.between(least, content.length));
      if (content !== flushed) inode.content = this.#chance.pick([content, torn, flushed]);
      inode.flushed = inode.content;
      inode.changedFrom = Number.POSITIVE_INFINITY;
    }
  }

  /** Calls `onChange` with each path that changes. */
  watch(onChange: (path: string) => void): () => void {
    this.#watchers.add(onChange);
    return () => void this.#watchers.delete(onChange);
  }

  /** By all files, each counted once however many names it has. */
  #used(): number {
    return [...new Set(this.#entries.values())].reduce((sum, { content }) => sum + content.length, 0);
  }

  #settle(changes: readonly Change[]): void {
    for (const change of changes) {
      this.#changes.splice(this.#changes.indexOf(change), 1);
      for (const [path, inode] of change.entries) putOrRemove(this.#flushedEntries, path, inode);
    }
  }

  #put(path: string, inode: Inode, isFlushed: boolean): void {
    this.#record(posix.dirname(path), [[path, inode]]);
    if (isFlushed) this.#settle([...this.#changes]);
  }

  #record(folder: string, entries: Change['entries']): void {
    this.#changes.push({ folder, entries });
    for (const [path, inode] of entries) {
      putOrRemove(this.#entries, path, inode);
      if (inode) inode.changedMs = this.#time.nowMs;
      this.#tell(path);
    }
  }

  #create(kind: Inode['kind'], mode: number): Inode {
    const now = this.#time.nowMs;
    const nothing = Buffer.alloc(0);
    this.#nextIno += 1;
    const times = { modifiedMs: now, changedMs: now };
    const changedFrom = Number.POSITIVE_INFINITY;
    return { ino: this.#nextIno, kind, content: nothing, flushed: nothing, changedFrom, mode, ...times };
  }

  #change(inode: Inode, content: Buffer, from: number): void {
    inode.content = content;
    inode.changedFrom = Math.min(inode.changedFrom, from);
    inode.modifiedMs = this.#time.nowMs;
    inode.changedMs = this.#time.nowMs;
    for (const [path, known] of this.#entries) if (known === inode) this.#tell(path);
  }

  #tell(path: string): void {
    for (const tell of this.#watchers) tell(path);
  }
}

/** Contents with room behind them, by the memory they are in: up to where it is in use. */
const used = new WeakMap<ArrayBufferLike, number>();
const ROOM = 4096;

/** The content with bytes written into it. The old one stays as it was: it may be what is on the medium. */
function written(content: Buffer, at: number, bytes: Uint8Array): Buffer {
  const length = Math.max(content.length, at + bytes.length);
  // A log grows by a line at a time: each would be a copy of all.
  const isAppended = at === content.length && used.get(content.buffer) === at && length <= content.buffer.byteLength;
  const memory = isAppended ? content.buffer : new ArrayBuffer(2 * length + ROOM);
  const result = Buffer.from(memory, 0, length);
  if (!isAppended) content.copy(result);
  result.set(bytes, at);
  used.set(memory, length);
  return result;
}

function putOrRemove(entries: Map<string, Inode>, path: string, inode: Inode | undefined): void {
  if (inode) entries.set(path, inode);
  else entries.delete(path);
}

export function diskError(code: string, syscall: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${syscall} '${path}'`), { code, errno: -1, syscall, path });
}
