/**
 * Writes the audit log: in order, in batches, without delaying requests unless they wait for the disk. Rotates by size
 * without breaking the chain. Entries that cannot be written are kept and retried; the log counts those that are lost.
 */
import { within } from '../../net/bounded-request.ts';
import { AuditFile, type Opened } from './audit-file.ts';
import type { Disk } from './disk.ts';
import { type Facts, type Head, link } from './hash-chain.ts';

export interface AuditOptions {
  readonly file: string;
  /** At about this size a file is rotated to `FILE.<number of its last line>`. */
  readonly maxBytes: number;
  /** `always`: after each batch, and requests can wait for it · `second`: once a second · `never`: up to the system. */
  readonly fsync: 'always' | 'second' | 'never';
  /** Epoch ms. */
  readonly now: () => number;
  /** Called when writing starts to fail (with the system's code) and when it works again (undefined). */
  readonly onState: (errno: string | undefined, problem?: string) => void;
  /** Called when something other than a write happened to the file. */
  readonly onEvent?: (facts: Facts) => void;
  readonly disk?: Disk;
}

/** An entry; `seq` is set once it is written. */
export interface Entry {
  readonly facts: Facts;
  /** The entry that this one completes. */
  readonly of: Entry | undefined;
  seq: number | undefined;
  /** Resolves the promise of `onDisk`. */
  waiting: ((isOnDisk: boolean) => void) | undefined;
}

export interface AuditLog {
  /** Adds an entry; never throws, never waits, keeps the order of calls. Undefined when too many entries wait. */
  append(facts: Facts, of?: Entry): Entry | undefined;
  /** Resolves with whether the entry is on disk; false: it is kept for a retry. For `fsync: always`, once per entry. */
  onDisk(entry: Entry): Promise<boolean>;
  /** Checks whether the file was moved, and retries failed writes at once. */
  reopen(): void;
  /** The system's code while entries cannot be written; else undefined. */
  failing(): string | undefined;
  /** Number and hash of the last entry written. */
  head(): Head;
  /** Writes the rest and a `closed` entry. Resolves with the number of lost entries. */
  close(): Promise<number>;
}

/** Entries kept while the disk is full; more would fill the memory, too. */
const MAX_WAITING = 10_000;
/** Bounds the work of hashing a batch again after a failure. */
const MAX_BATCH = 1000;
const RETRY_MS = 1000;
/** A disk that does not respond for this long counts as failing. */
const STUCK_MS = 10_000;
/** A failed rotation is retried when the file has grown by this much. */
const TRY_AGAIN_BYTES = 1024 * 1024;

/** Opens the log. @throws NodeJS.ErrnoException when the file cannot be opened, NotOurs when it is not an audit log */
export async function openAuditLog(options: AuditOptions): Promise<AuditLog> {
  const opened = await AuditFile.open(options.file, options.disk);
  const writer = new Writer(options, opened);
  if (opened.broken !== undefined) options.onEvent?.({ event: 'broken', problem: opened.broken });
  writer.append({ event: 'opened', ...(opened.lostBytes > 0 && { lostBytes: opened.lostBytes }) });
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
  /** Size at which to rotate: `maxBytes`, or more after a failed rotation. */
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
    this.#start();
    return entry;
  }

  onDisk(entry: Entry): Promise<boolean> {
    if (entry.seq !== undefined) return Promise.resolve(true);
    // The next try may be a second away; the request does not wait for it.
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
    // A disk that hangs must not block the stop.
    await within(STUCK_MS, this.#end(), () => undefined);
    clearTimeout(this.#retry);
    return this.#queue.length + this.#dropped;
  }

  async #end(): Promise<void> {
    while (this.#work !== undefined) await this.#work;
    // One last try, even after a failure; no other run starts after it.
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

  /** Not before the next try after a failure: each start would add a further one, more and more of them. */
  #start(): void {
    if (this.#retry !== undefined) return;
    this.#work ??= this.#run().finally(() => {
      this.#work = undefined;
      if (this.#queue.length > 0) this.#start();
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

  /** Puts an entry about what happened to the file before the waiting entries. */
  async #settle(): Promise<void> {
    // The last run writes to the moved file rather than to none.
    const event = await (this.#isLast ? this.#file.stay() : this.#file.settle(this.head));
    this.#unsettled = false;
    if (event === undefined) return;
    if (event['event'] === 'reopened') this.#asideAt = this.#options.maxBytes;
    this.#queue.unshift(this.#entry(event));
    this.#options.onEvent?.(event);
  }

  /** Writes as many entries as fit into this file, all or none. */
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
      // The completed entry comes earlier, in this batch or a previous one.
      const at = of && (of.seq ?? heads[this.#queue.indexOf(of)]?.seq);
      const linked = link(heads.at(-1) ?? this.head, at === undefined ? facts : { ...facts, intent: at });
      heads.push(linked.head);
      size += lines[lines.push(`${linked.line}\n`) - 1]?.length ?? 0;
    }
    return { lines, heads };
  }

  /** Rotates the file; if that fails, writing continues and the file grows. */
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
