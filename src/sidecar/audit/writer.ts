/**
 * Writes the audit log: in order, in batches, off the path of requests; rotated by size without a break in the chain;
 * repaired after a crash by saying so, not by forgetting. What cannot be written is kept and tried again.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FLUSHED, flush, renameWithRetry } from '../../core/durable-fs.ts';
import { type Facts, type Head, link } from './hash-chain.ts';
import { recover } from './recover.ts';

export interface AuditOptions {
  readonly file: string;
  /** A file grows to about this size, then it is set aside as `FILE.<number of its last line>`. */
  readonly maxBytes: number;
  /** `always`: before the next batch · `second`: once a second · `never`: when the system likes. */
  readonly fsync: 'always' | 'second' | 'never';
  /** Epoch ms. */
  readonly now: () => number;
  /** Told when writing begins to fail (with the system's code) and when it works again (undefined). */
  readonly onState: (errno: string | undefined) => void;
}

export interface AuditLog {
  /** Never throws and never waits; the chain is in the order of calls. */
  append(facts: Facts): void;
  /** The system's code while entries cannot be written. */
  failing(): string | undefined;
  /** The last entry, written or waiting to be. */
  head(): Head;
  /** Writes what is left and a last line that says so. */
  close(): Promise<void>;
}

/** Entries kept while the disk is full; more would only trade one full store for another. */
const MAX_WAITING = 10_000;
const RETRY_MS = 1000;
const APPEND = constants.O_APPEND | constants.O_CREAT | constants.O_WRONLY | FLUSHED;

/**
 * @throws NodeJS.ErrnoException when the file cannot be opened, Error when its end is not an audit line
 */
export async function openAuditLog(options: AuditOptions): Promise<AuditLog> {
  const recovered = recover(options.file);
  const writer = new Writer(options, await open(options.file, APPEND, 0o600), recovered.size);
  let head = recovered.head;
  const append = (facts: Facts) => {
    if (writer.isFull) return;
    const linked = link(head, { at: new Date(options.now()).toISOString(), ...facts });
    head = linked.head;
    writer.push(`${linked.line}\n`, head.seq);
  };
  append({ event: 'opened', ...(recovered.lostBytes > 0 && { lostBytes: recovered.lostBytes }) });
  return {
    append,
    failing: () => writer.failing,
    head: () => head,
    async close() {
      append({ event: 'closed' });
      await writer.close();
    },
  };
}

interface Waiting {
  readonly line: string;
  readonly seq: number;
}

class Writer {
  readonly #options: AuditOptions;
  #handle: FileHandle;
  #size: number;
  #waiting: Waiting[] = [];
  #work: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #unsynced = false;
  #torn = false;
  readonly #syncTimer: NodeJS.Timeout | undefined;
  failing: string | undefined;

  constructor(options: AuditOptions, handle: FileHandle, size: number) {
    this.#options = options;
    this.#handle = handle;
    this.#size = size;
    if (options.fsync === 'second') this.#syncTimer = setInterval(() => this.#start(), RETRY_MS).unref();
  }

  get isFull(): boolean {
    return this.#waiting.length >= MAX_WAITING;
  }

  push(line: string, seq: number): void {
    this.#waiting.push({ line, seq });
    if (this.#retry === undefined) this.#start();
  }

  async close(): Promise<void> {
    clearInterval(this.#syncTimer);
    clearTimeout(this.#retry);
    await this.#work;
    // One last try, also where the disk was full a moment ago.
    await this.#run();
    clearTimeout(this.#retry);
    await this.#handle.close();
  }

  #start(): void {
    this.#work ??= this.#run().finally(() => {
      this.#work = undefined;
      if (this.#waiting.length > 0 && this.#retry === undefined) this.#start();
    });
  }

  async #run(): Promise<void> {
    try {
      while (this.#waiting.length > 0) await this.#writeBatch();
      if (this.#unsynced && this.#options.fsync !== 'never') await flush(this.#handle);
      this.#unsynced = false;
      this.#say(undefined);
    } catch (error) {
      this.#say(String((error as NodeJS.ErrnoException).code));
      this.#retry = setTimeout(() => {
        this.#retry = undefined;
        this.#start();
      }, RETRY_MS).unref();
    }
  }

  /** As much as fits into this file, whole or not at all. */
  async #writeBatch(): Promise<void> {
    const batch = this.#batch();
    const last = batch.at(-1);
    if (!last) return;
    const bytes = Buffer.from(batch.map(({ line }) => line).join(''));
    // A full disk takes part of a line: what did not fit must not stay.
    if (this.#torn) await this.#handle.truncate(this.#size);
    this.#torn = true;
    await this.#writeAll(bytes);
    this.#torn = false;
    this.#size += bytes.length;
    this.#waiting.splice(0, batch.length);
    this.#unsynced = true;
    if (this.#options.fsync === 'always') await flush(this.#handle);
    if (this.#size >= this.#options.maxBytes) await this.#rotate(last.seq);
  }

  #batch(): Waiting[] {
    let size = this.#size;
    const end = this.#waiting.findIndex(({ line }) => {
      const full = size >= this.#options.maxBytes;
      size += Buffer.byteLength(line);
      return full;
    });
    return end === -1 ? [...this.#waiting] : this.#waiting.slice(0, Math.max(1, end));
  }

  async #writeAll(bytes: Buffer): Promise<void> {
    for (let written = 0; written < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, written);
      written += bytesWritten;
    }
  }

  async #rotate(lastSeq: number): Promise<void> {
    const { file } = this.#options;
    await flush(this.#handle);
    // While it is open, so that where this fails writing goes on where it was.
    await renameWithRetry(file, `${file}.${String(lastSeq).padStart(12, '0')}`);
    const full = this.#handle;
    this.#handle = await open(file, APPEND, 0o600);
    this.#size = 0;
    await full.close();
    await flush(dirname(file));
  }

  #say(errno: string | undefined): void {
    if (errno === this.failing) return;
    this.failing = errno;
    this.#options.onState(errno);
  }
}
