/**
 * One audit file at its path: never through a link, never a foreign file; each batch is written whole or not at all. Other
 * programs may move, remove, truncate or write the file while it is in use: `settle` detects and reports that.
 */
import type { BigIntStats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { flush } from '../../core/durable-fs.ts';
import { DISK, type Disk, type Found, NotOurs, openRegular } from './disk.ts';
import { readEnd } from './file-set.ts';
import type { Facts, Head } from './hash-chain.ts';
import { readTail } from './tail.ts';

/** Time for logrotate, which moves the file and then creates an empty one: it fails if a file already exists. */
const REPLACED_WITHIN_MS = 100;
const LOOK_AGAIN_MS = 10;

export interface Opened {
  readonly file: AuditFile;
  readonly head: Head;
  /** Bytes of an unfinished last line; they are removed. */
  readonly lostBytes: number;
  /** The first error in the last lines. */
  readonly broken: string | undefined;
}

/** An open audit file. */
export class AuditFile {
  readonly #path: string;
  readonly #disk: Disk;
  #handle: FileHandle;
  #identity: string;
  /** Bytes known to be written. */
  #size: number;
  /** The last batch may be written in part; that part does not count. */
  #torn = false;

  private constructor(path: string, disk: Disk, { handle, stats }: Found) {
    this.#path = path;
    this.#disk = disk;
    this.#handle = handle;
    this.#identity = identityOf(stats);
    this.#size = Number(stats.size);
  }

  /**
   * Opens the file after checking it; creates it when it is missing.
   * @throws NotOurs when the file must not be changed; NodeJS.ErrnoException
   * @example
   * const { file, head } = await AuditFile.open('/var/log/aritma/audit.jsonl');
   */
  static async open(path: string, disk: Disk = DISK): Promise<Opened> {
    const found = await openRegular(path, disk);
    try {
      const { size, head, lostBytes, broken } = await readEnd(path, found.handle, Number(found.stats.size));
      await flush(dirname(path));
      const file = new AuditFile(path, disk, found);
      file.#size = size;
      file.#torn = lostBytes > 0;
      return { file, head, lostBytes, broken };
    } catch (error) {
      await found.handle.close();
      throw error;
    }
  }

  get size(): number {
    return this.#size;
  }

  /** Called before each batch and on reopen. @returns what happened to the file, as an entry for the log itself */
  async settle(head: Head): Promise<Facts | undefined> {
    const named = await this.#look();
    const isSame = !this.#torn && named !== undefined && identityOf(named) === this.#identity;
    if (isSame && Number(named.size) === this.#size) return undefined;
    const reopened = isSame ? undefined : await this.#follow(head, named !== undefined);
    const resized = await this.#resize();
    return reopened || resized ? { ...resized, ...reopened } : undefined;
  }

  async #follow(head: Head, isReplaced: boolean): Promise<Facts | undefined> {
    // On a disk that is gone `stat` fails: assume that the file still exists.
    const { nlink } = await this.#handle.stat({ bigint: true }).catch(() => ({ nlink: 1n }));
    if (!isReplaced && nlink > 0n) await this.#replaced();
    const isOther = await this.#reopen(head);
    return isOther ? { event: 'reopened', reason: nlink === 0n ? 'removed' : 'moved' } : undefined;
  }

  /** Like `settle`, for the last batch: stays in the open file, even if it was moved. */
  async stay(): Promise<Facts | undefined> {
    return await this.#resize();
  }

  /** Writes all bytes or none: the next `settle` removes a part that a full disk has taken. @param synced wait for the disk */
  async write(bytes: Buffer, synced: boolean): Promise<void> {
    this.#torn = true;
    for (let written = 0; written < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, written, bytes.length - written, this.#size + written);
      written += bytesWritten;
    }
    if (synced) await flush(this.#handle);
    this.#size += bytes.length;
    this.#torn = false;
  }

  async flush(): Promise<void> {
    await flush(this.#handle);
  }

  /** Rotates: renames the file and creates a new one in its place. @throws NodeJS.ErrnoException EEXIST, or of the rename */
  async setAside(name: string, head: Head): Promise<void> {
    await flush(this.#handle);
    // An existing file may hold entries, and must not be overwritten.
    if (await this.#look(name)) throw Object.assign(new Error(`${name} is there already`), { code: 'EEXIST' });
    // Rename the open file: if that fails, writing continues in it.
    try {
      await this.#disk.rename(this.#path, name);
    } catch (error) {
      // Another program has moved it first; the next `settle` reports that.
      if (codeOf(error) === 'ENOENT') return;
      throw error;
    }
    await this.#reopen(head);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #look(path = this.#path): Promise<BigIntStats | undefined> {
    try {
      return await this.#disk.lstat(path, { bigint: true });
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Opens the file that is at the path now. Returns whether it is a different one. */
  async #reopen(head: Head): Promise<boolean> {
    const found = await openRegular(this.#path, this.#disk);
    const isSame = identityOf(found.stats) === this.#identity;
    try {
      if (!isSame) {
        await checkContinues(found, head);
        // Leave only complete lines in the moved file.
        if (this.#torn) await this.#handle.truncate(this.#size).catch(() => undefined);
        await flush(this.#handle);
        await flush(dirname(this.#path));
        this.#size = Number(found.stats.size);
        this.#torn = false;
      }
    } catch (error) {
      await found.handle.close();
      throw error;
    }
    const before = this.#handle;
    this.#handle = found.handle;
    this.#identity = identityOf(found.stats);
    // After a disk error, `close` may report the same error again.
    await before.close().catch(() => undefined);
    return !isSame;
  }

  /** Waits for a program that rotates logs to create its new file. */
  async #replaced(): Promise<void> {
    const deadline = performance.now() + REPLACED_WITHIN_MS;
    while (performance.now() < deadline && !(await this.#look())) await setTimeout(LOOK_AGAIN_MS);
  }

  /** Removes a partly written batch, and detects changes by other programs. */
  async #resize(): Promise<Facts | undefined> {
    const { size: found } = await this.#handle.stat();
    const known = this.#size;
    const isHalf = this.#torn && found > known;
    if (isHalf) await this.#handle.truncate(known);
    this.#torn = false;
    const size = isHalf ? known : found;
    if (size === known) return undefined;
    this.#size = size;
    await this.#endLine();
    return size < known
      ? { event: 'truncated', missingBytes: known - size }
      : { event: 'extended', foreignBytes: size - known };
  }

  async #endLine(): Promise<void> {
    const last = Buffer.alloc(1);
    if (this.#size > 0) await this.#handle.read(last, 0, 1, this.#size - 1);
    if (this.#size > 0 && last[0] !== 10) await this.write(Buffer.from('\n'), false);
  }
}

/** Refuses a new file at the path that does not continue this log. @throws NotOurs */
async function checkContinues({ handle, stats }: Found, head: Head): Promise<void> {
  if (stats.size === 0n) return;
  const tail = await readTail(handle, Number(stats.size));
  if (tail.head?.hash !== head.hash || tail.torn.length > 0)
    throw new NotOurs('does not continue the log that is being written: move it away');
}

const identityOf = ({ dev, ino }: BigIntStats) => `${dev}:${ino}`;
const codeOf = (error: unknown) => String((error as NodeJS.ErrnoException).code);
