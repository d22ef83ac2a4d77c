/**
 * Writes the audit log: in order, in batches, off the path of requests unless they wait for the disk; rotated by size without
 * a break in the chain. What cannot be written is kept and tried again, and what cannot be kept is counted in the log.
 */
import { within } from '../../net/bounded-request.ts';
import { AuditFile, type Opened } from './audit-file.ts';
import type { Disk } from './disk.ts';
import { type Facts, type Head, link } from './hash-chain.ts';

export interface AuditOptions {
  readonly file: string;
  /** A file grows to about this size, then it is set aside as `FILE.<number of its last line>`. */
  readonly maxBytes: number;
  /** `always`: each batch before the next, and whoever wants can wait for it · `second`: once a second · `never`: when the system likes. */
  readonly fsync: 'always' | 'second' | 'never';
  /** Epoch ms. */
  readonly now: () => number;
  /** Told when writing begins to fail (with the system's code) and when it works again (undefined). */
  readonly onState: (errno: string | undefined, problem?: string) => void;
  /** Told what happened to the file other than being written. */
  readonly onEvent?: (facts: Facts) => void;
  readonly disk?: Disk;
}

/** A line to be; its number once it is written. */
export interface Entry {
  readonly facts: Facts;
  /** The line that this one completes. */
  readonly of: Entry | undefined;
  seq: number | undefined;
  /** Who waits for the disk. */
  waiting: ((isOnDisk: boolean) => void) | undefined;
}

export interface AuditLog {
  /** Never throws and never waits; the chain is in the order of calls. Undefined when there is no room for more. */
  append(facts: Facts, of?: Entry): Entry | undefined;
  /** Resolves with false when it cannot be written now; it is kept. For `fsync: always`, once per entry. */
  onDisk(entry: Entry): Promise<boolean>;
  /** Looks whether the file is still where it was, and tries at once what failed. */
  reopen(): void;
  /** The system's code while entries cannot be written. */
  failing(): string | undefined;
  /** The last entry written. */
  head(): Head;
  /** Writes what is left and a last line that says so. Resolves with how many entries could not be written. */
  close(): Promise<number>;
}

/** Entries kept while the disk is full; more would only trade one full store for another. */
const MAX_WAITING = 10_000;
/** Linking them again after each failure must not take long. */
const MAX_BATCH = 1000;
const RETRY_MS = 1000;
/** A disk that does nothing for so long counts as failing. */
const STUCK_MS = 10_000;
/** A file that cannot be set aside is tried again when it has grown by this much. */
const TRY_AGAIN_BYTES = 1024 * 1024;

/** @throws NodeJS.ErrnoException when the file cannot be opened, NotOurs when it is no audit log */
export async function openAuditLog(options: AuditOptions): Promise<AuditLog> {
  const opened = await AuditFile.open(options.file, options.disk);
  const writer = new Writer(options, opened);
  const { lostBytes, broken } = opened;
  if (broken !== undefined) options.onEvent?.({ event: 'broken', problem: broken });
  writer.append({ event: 'opened', ...(lostBytes > 0 && { lostBytes }) });
  return {
    append: (facts, of) => writer.append(facts, of),
    onDisk: (entry) => writer.onDisk(entry),
    reopen: () => writer.reopen(),
    failing: () => writer.failing,
    head: () => writer.head,
    close: () => writer.close(),
  };
}

class Writer {
  readonly #options: AuditOptions;
  readonly #file: AuditFile;
  /** What stands behind the file's own limit until it can be set aside. */
  #asideAt: number;
  readonly #queue: Entry[] = [];
  #dropped = 0;
  #work: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #unsynced = false;
  #unsettled = false;
  #isLast = false;
  #closed: Promise<number> | undefined;
  readonly #syncTimer: NodeJS.Timeout | undefined;
  head: Head;
  failing: string | undefined;

  constructor(options: AuditOptions, { file, head }: Opened) {
    this.#options = options;
    this.#file = file;
    this.#asideAt = options.maxBytes;
    this.head = head;
    if (options.fsync === 'second') this.#syncTimer = setInterval(() => this.#start(), RETRY_MS).unref();
  }

  append(facts: Facts, of?: Entry): Entry | undefined {
    if (this.#queue.length >= MAX_WAITING) {
      this.#dropped += 1;
      return undefined;
    }
    const entry = this.#entry(facts, of);
    this.#queue.push(entry);
    if (this.#retry === undefined) this.#start();
    return entry;
  }

  onDisk(entry: Entry): Promise<boolean> {
    if (entry.seq !== undefined) return Promise.resolve(true);
    // The next try may be a second away, and nobody is to wait for it.
    if (this.failing !== undefined) return Promise.resolve(false);
    return new Promise((resolve) => {
      entry.waiting = resolve;
    });
  }

  reopen(): void {
    this.#unsettled = true;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#start();
  }

  close(): Promise<number> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<number> {
    this.append({ event: 'closed' });
    clearInterval(this.#syncTimer);
    // A disk that hangs keeps nobody from stopping.
    await within(STUCK_MS, this.#end(), () => undefined);
    clearTimeout(this.#retry);
    return this.#queue.length + this.#dropped;
  }

  async #end(): Promise<void> {
    clearTimeout(this.#retry);
    while (this.#work !== undefined) await this.#work;
    // Tried once more, also where the disk was full a moment ago; nothing begins after it.
    this.#work = this.#run();
    await this.#work;
    this.#isLast = true;
    if (this.#queue.length > 0) await this.#run();
    await this.#file.close();
  }

  #entry(facts: Facts, of?: Entry): Entry {
    const at = new Date(this.#options.now()).toISOString();
    return { facts: { at, ...facts }, of, seq: undefined, waiting: undefined };
  }

  #start(): void {
    this.#work ??= this.#run().finally(() => {
      this.#work = undefined;
      if (this.#queue.length > 0 && this.#retry === undefined) this.#start();
    });
  }

  async #run(): Promise<void> {
    const stuck = setInterval(() => this.#fail('ETIMEDOUT'), STUCK_MS).unref();
    try {
      if (this.#unsettled) await this.#settle();
      for (; this.#queue.length > 0; stuck.refresh()) await this.#writeBatch();
      if (this.#unsynced && this.#options.fsync !== 'never') await this.#file.flush();
      this.#unsynced = false;
      this.#say(undefined);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      this.#fail(String(code), code === 'NOT_OURS' ? message : undefined);
      this.#retry = setTimeout(() => {
        this.#retry = undefined;
        this.#start();
      }, RETRY_MS).unref();
    } finally {
      clearInterval(stuck);
    }
  }

  /** What happened to the file stands in the log before what comes after it. */
  async #settle(): Promise<void> {
    // In the end, rather where the file was moved to than nowhere.
    const event = await (this.#isLast ? this.#file.stay() : this.#file.settle(this.head));
    this.#unsettled = false;
    if (event === undefined) return;
    if (event['event'] === 'reopened') this.#asideAt = this.#options.maxBytes;
    this.#queue.unshift(this.#entry(event));
    this.#options.onEvent?.(event);
  }

  /** As much as fits into this file, whole or not at all. */
  async #writeBatch(): Promise<void> {
    await this.#settle();
    if (this.#dropped > 0) this.#queue.push(this.#entry({ event: 'lost', lines: this.#dropped }));
    this.#dropped = 0;
    const { lines, heads } = this.#link();
    await this.#file.write(Buffer.from(lines.join('')), this.#options.fsync === 'always');
    this.head = heads.at(-1) ?? this.head;
    this.#unsynced = this.#options.fsync !== 'always';
    for (const [index, entry] of this.#queue.splice(0, heads.length).entries()) {
      entry.seq = heads[index]?.seq;
      entry.waiting?.(true);
    }
    if (this.#file.size >= this.#asideAt) await this.#setAside();
  }

  #link(): { readonly lines: string[]; readonly heads: Head[] } {
    const lines: string[] = [];
    const heads: Head[] = [];
    let size = this.#file.size;
    for (const { facts, of } of this.#queue.slice(0, MAX_BATCH)) {
      if (heads.length > 0 && size >= this.#asideAt) break;
      // It stands before, in this batch or an earlier one.
      const at = of && (of.seq ?? heads[this.#queue.indexOf(of)]?.seq);
      const linked = link(heads.at(-1) ?? this.head, at === undefined ? facts : { ...facts, intent: at });
      heads.push(linked.head);
      size += lines[lines.push(`${linked.line}\n`) - 1]?.length ?? 0;
    }
    return { lines, heads };
  }

  /** A file that cannot be set aside can still be written: it grows. */
  async #setAside(): Promise<void> {
    const { file, maxBytes } = this.#options;
    try {
      await this.#file.setAside(`${file}.${String(this.head.seq).padStart(12, '0')}`, this.head);
      this.#asideAt = maxBytes;
    } catch (error) {
      this.#asideAt = this.#file.size + Math.min(maxBytes, TRY_AGAIN_BYTES);
      this.#options.onEvent?.({ event: 'not set aside', errno: String((error as NodeJS.ErrnoException).code) });
    }
  }

  #fail(errno: string, problem?: string): void {
    this.#say(errno, problem);
    for (const entry of this.#queue) entry.waiting?.(false);
  }

  #say(errno: string | undefined, problem?: string): void {
    if (errno === this.failing) return;
    this.failing = errno;
    this.#options.onState(errno, problem);
  }
}
