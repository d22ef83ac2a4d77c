/**
 * `node:sqlite` as far as it is used: a database of one row, whose write lock ends with its process. A lock of another process is
 * told at once: to wait for it would stop the world.
 */
import type { Inode } from '../disk.ts';
import { OpenFile } from '../files.ts';
import { self } from '../platform.ts';
import type { SimulatedProcess } from '../process.ts';

/** https://sqlite.org/rescode.html */
const [BUSY, FULL, CANTOPEN] = [5, 13, 14];
const writers = new WeakMap<Inode, { readonly of: DatabaseSync; readonly process: SimulatedProcess }>();

export class DatabaseSync {
  readonly #file: OpenFile;
  isOpen = true;
  isTransaction = false;

  /** @throws Error CANTOPEN */
  constructor(path: string) {
    this.#file = orFail(CANTOPEN, () => new OpenFile(path, 'a+', 0o600));
  }

  /** @throws Error BUSY | FULL */
  exec(sql: string): void {
    if (sql.startsWith('BEGIN IMMEDIATE')) this.#lock();
    if (/\b(?:COMMIT|ROLLBACK)$/.test(sql)) this.#unlock();
    if (sql.includes('DELETE')) orFail(FULL, () => this.#file.truncate());
  }

  prepare(sql: string) {
    if (sql.startsWith('SELECT')) return { get: () => JSON.parse(this.#file.inode.content.toString()) as object };
    const insert = (pid: number, host: string, since: string) => {
      this.#file.write(Buffer.from(JSON.stringify({ pid, host, since })));
      this.#file.flush();
    };
    return { run: (...values: [number, string, string]) => orFail(FULL, () => insert(...values)) };
  }

  close(): void {
    this.#unlock();
    this.isOpen = false;
  }

  #lock(): void {
    const writer = writers.get(this.#file.inode);
    if (writer?.process.isAlive && writer.of !== this) throw failure(BUSY);
    writers.set(this.#file.inode, { of: this, process: self() });
    this.isTransaction = true;
  }

  #unlock(): void {
    if (writers.get(this.#file.inode)?.of === this) writers.delete(this.#file.inode);
    this.isTransaction = false;
  }
}

function orFail<Result>(errcode: number, work: () => Result): Result {
  try {
    return work();
  } catch {
    throw failure(errcode);
  }
}

function failure(errcode: number): Error {
  return Object.assign(new Error(`SQLite error ${errcode}`), { code: 'ERR_SQLITE_ERROR', errcode });
}
