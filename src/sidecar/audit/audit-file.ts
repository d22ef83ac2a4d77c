/**
 * One audit file under its path: never through a link, never another's; written whole batches or nothing. It hides that the
 * file may be moved, removed, truncated, or written to by others while it is in use: `settle` finds out and says so.
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

/** A program that rotates logs moves the file, then puts an empty one there, and takes amiss what it finds in between. */
const REPLACED_WITHIN_MS = 100;
const LOOK_AGAIN_MS = 10;

export interface Opened {
  readonly file: AuditFile;
  readonly head: Head;
  /** What was left of a line that was never finished; it is gone. */
  readonly lostBytes: number;
  /** What is wrong with the lines before the end. */
  readonly broken: string | undefined;
}

export class AuditFile {
  readonly #path: string;
  readonly #disk: Disk;
  #handle: FileHandle;
  #identity: string;
  /** Of what is known to be written, in bytes. */
  #size: number;
  /** Of the last batch some may have been written, and counts for nothing. */
  #torn = false;

  private constructor(path: string, disk: Disk, { handle, stats }: Found) {
    this.#path = path;
    this.#disk = disk;
    this.#handle = handle;
    this.#identity = identityOf(stats);
    this.#size = Number(stats.size);
  }

  /**
   * Looks before it changes anything; makes the file where there is none.
   * @throws NotOurs for what is to be left as it is; NodeJS.ErrnoException
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

  /** Before each batch, and when somebody says that the file was moved. @returns what had happened, for the log itself */
  async settle(head: Head): Promise<Facts | undefined> {
    const named = await this.#look();
    const isSame = !this.#torn && named !== undefined && identityOf(named) === this.#identity;
    if (isSame && Number(named.size) === this.#size) return undefined;
    const reopened = isSame ? undefined : await this.#follow(head, named !== undefined);
    const resized = await this.#resize();
    return reopened || resized ? { ...resized, ...reopened } : undefined;
  }

  async #follow(head: Head, isReplaced: boolean): Promise<Facts | undefined> {
    // Of a disk that is gone nothing is known any more.
    const { nlink } = await this.#handle.stat({ bigint: true }).catch(() => ({ nlink: 1n }));
    if (!isReplaced && nlink > 0n) await this.#replaced();
    const isOther = await this.#reopen(head);
    return isOther ? { event: 'reopened', reason: nlink === 0n ? 'removed' : 'moved' } : undefined;
  }

  /** As `settle`, for a last batch: in the file in hand, wherever that is by now. */
  async stay(): Promise<Facts | undefined> {
    return await this.#resize();
  }

  /** All of it or nothing: what a full disk took of it is taken back by the next `settle`. @param synced wait for the disk */
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

  /** Puts it under another name and a new one in its place. */
  async setAside(name: string, head: Head): Promise<void> {
    await flush(this.#handle);
    // It would be another log's proof.
    if (await this.#look(name)) throw Object.assign(new Error(`${name} is there already`), { code: 'EEXIST' });
    // While it is open, so that where this fails writing goes on where it was.
    try {
      await this.#disk.rename(this.#path, name);
    } catch (error) {
      // Somebody else was faster, and the next `settle` will say so.
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

  /** What the path names by now. True when that is another file than before. */
  async #reopen(head: Head): Promise<boolean> {
    const found = await openRegular(this.#path, this.#disk);
    const isSame = identityOf(found.stats) === this.#identity;
    try {
      if (!isSame) {
        await checkContinues(found, head);
        // Whoever looks where it was moved to finds whole lines.
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
    // After an error of its disk, closing it may report that once more.
    await before.close().catch(() => undefined);
    return !isSame;
  }

  /** Gives a program that rotates logs the time to put its own file there. */
  async #replaced(): Promise<void> {
    const deadline = performance.now() + REPLACED_WITHIN_MS;
    while (performance.now() < deadline && !(await this.#look())) await setTimeout(LOOK_AGAIN_MS);
  }

  /** Takes back what was only half written, and finds out what others did. */
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

/** Where something else has been put, going on there would spoil both. */
async function checkContinues({ handle, stats }: Found, head: Head): Promise<void> {
  if (stats.size === 0n) return;
  const tail = await readTail(handle, Number(stats.size));
  if (tail.head?.hash !== head.hash || tail.torn.length > 0)
    throw new NotOurs('does not continue the log that is being written: move it away');
}

const identityOf = ({ dev, ino }: BigIntStats) => `${dev}:${ino}`;
const codeOf = (error: unknown) => String((error as NodeJS.ErrnoException).code);
