/**
 * One writer per audit log, among all processes and machines that share its disk. The lock is the operating system's, so it
 * ends with its holder however that ends, and tells containers apart that know nothing of each other's processes. Node
 * has no call for such locks, SQLite has (on Windows too): it hides a database beside the log that holds nothing but the
 * holder's name.
 */
import { lstatSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';

/** Held until released. Without `release`: `heldBy` somebody else, or not to be had at all (`code`). */
export interface WriterLock {
  readonly release?: () => unknown;
  readonly heldBy?: string;
  readonly code?: string;
}

/** For one that is just ending, or only reads the holder's name. */
export const WAIT_MS = 1000;
/** Primary result code (https://sqlite.org/rescode.html#busy). */
const SQLITE_BUSY = 5;
const SIGN = `CREATE TABLE IF NOT EXISTS holder (pid INTEGER, host TEXT, since TEXT);
DELETE FROM holder;`;

/**
 * Never throws: what cannot be locked (a folder that may not be written, a disk that knows no locks) is told, not refused.
 * @param path of the log; the lock is `.NAME.lock` beside it, which no `*` of a shell or of logrotate takes for a log
 */
export async function lockForWriting(path: string): Promise<WriterLock> {
  const file = lockOf(path);
  let database: DatabaseSync | undefined;
  try {
    // Not opened to look: closing any handle of a file ends all locks of the process on it (fcntl(2)).
    const stats = lstatSync(file, { throwIfNoEntry: false });
    if (stats && !stats.isFile()) return { code: 'ENOTREG' };
    // A Node built without SQLite has no such module.
    const { DatabaseSync: Database } = await import('node:sqlite');
    const held = forOwnerOnly(() => new Database(file, { timeout: WAIT_MS }));
    database = held;
    take(held);
    return { release: () => void (held.isOpen && held.close()) };
  } catch (error) {
    const heldBy = isBusy(error) ? nameOfHolder(database) : undefined;
    database?.close();
    return heldBy === undefined ? { code: codeOf(error) } : { heldBy };
  }
}

/**
 * The name of who holds the lock now; undefined when nobody does, or nobody can tell. Makes nothing and changes nothing.
 * @param path of the log @param waitMs for a holder that is just ending
 */
export async function heldBy(path: string, waitMs: number): Promise<string | undefined> {
  const file = lockOf(path);
  if (!lstatSync(file, { throwIfNoEntry: false })?.isFile()) return undefined;
  let database: DatabaseSync | undefined;
  try {
    const { DatabaseSync: Database } = await import('node:sqlite');
    database = new Database(file, { timeout: waitMs });
    // Reserved, which writes nothing, and given back at once: whoever starts meanwhile waits for longer.
    database.exec('BEGIN IMMEDIATE; ROLLBACK');
    return undefined;
  } catch (error) {
    return isBusy(error) ? nameOfHolder(database) : undefined;
  } finally {
    database?.close();
  }
}

const lockOf = (path: string) => join(dirname(path), `.${basename(path)}.lock`);

/** Whoever can read a file can lock it (fcntl(2)), and so keep us from starting. */
function forOwnerOnly<Made>(make: () => Made): Made {
  const before = process.umask(0o077);
  try {
    return make();
  } finally {
    process.umask(before);
  }
}

/** Others may read while this is held, so they can say who holds it. */
function take(database: DatabaseSync): void {
  database.exec('BEGIN IMMEDIATE');
  try {
    database.exec(SIGN);
    const sign = database.prepare('INSERT INTO holder VALUES (?, ?, ?)');
    sign.run(process.pid, hostname(), new Date().toISOString());
    database.exec('COMMIT');
  } catch {
    // A full disk keeps the name away, not the lock.
    if (database.isTransaction) database.exec('ROLLBACK');
  }
  database.exec('BEGIN IMMEDIATE');
}

function nameOfHolder(database: DatabaseSync | undefined): string {
  try {
    const row = database?.prepare('SELECT pid, host, since FROM holder').get();
    if (row) return `process ${row['pid']} on ${row['host']} since ${row['since']}`;
  } catch {
    // It could not write its name, or is about to.
  }
  return 'another process';
}

const isBusy = (error: unknown) => (Number((error as { errcode?: unknown }).errcode) & 0xff) === SQLITE_BUSY;

/** `SQLITE 14` where it is SQLite's. */
function codeOf(error: unknown): string {
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  return errcode === undefined ? String(code) : `SQLITE ${errcode}`;
}
