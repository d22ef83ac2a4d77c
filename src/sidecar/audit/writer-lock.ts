/**
 * Allows one writer per audit log among all processes and machines that share its disk. It is a lock of the operating
 * system: it ends with its process, even after a kill, and works between containers. Node has no file locks, SQLite has them
 * (on Windows, too): so the lock is a small database beside the log, which stores only the name of its process.
 */
import { lstatSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';

/** With `release`: held until then. Else `heldBy` another process, or locking is not possible (`code`). */
export interface WriterLock {
  readonly release?: () => unknown;
  readonly heldBy?: string;
  readonly code?: string;
}

/** Time for another process that is just ending or only reads the name. */
export const WAIT_MS = 1000;
/** Primary result code (https://sqlite.org/rescode.html#busy). */
const SQLITE_BUSY = 5;
const SIGN = `CREATE TABLE IF NOT EXISTS holder (pid INTEGER, host TEXT, since TEXT);
DELETE FROM holder;`;

/**
 * Locks an audit log. Never throws: a log that cannot be locked (read-only folder, disk without locks) is reported by `code`.
 * @param path of the log; the lock is `.NAME.lock` beside it, which a `*` of a shell or of logrotate does not match
 * @example
 * const { release, heldBy } = await lockForWriting('/var/log/aritma/audit.jsonl');
 */
export async function lockForWriting(path: string): Promise<WriterLock> {
  const file = lockOf(path);
  let database: DatabaseSync | undefined;
  try {
    // `lstat`, not `open`: closing any handle of a file drops all locks of the process on it (fcntl(2)).
    const stats = lstatSync(file, { throwIfNoEntry: false });
    if (stats && !stats.isFile()) return { code: 'ENOTREG' };
    // Dynamic: a Node built without SQLite does not have this module.
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
 * Returns the name of the process that holds the lock; undefined when none does, or when it cannot be found out. Creates and
 * changes nothing.
 * @param path of the log
 * @param waitMs time for a process that is just ending
 */
export async function heldBy(path: string, waitMs: number): Promise<string | undefined> {
  const file = lockOf(path);
  if (!lstatSync(file, { throwIfNoEntry: false })?.isFile()) return undefined;
  let database: DatabaseSync | undefined;
  try {
    const { DatabaseSync: Database } = await import('node:sqlite');
    database = new Database(file, { timeout: waitMs });
    // Takes the write lock without writing and releases it at once; a sidecar that starts meanwhile waits for longer.
    database.exec('BEGIN IMMEDIATE; ROLLBACK');
    return undefined;
  } catch (error) {
    return isBusy(error) ? nameOfHolder(database) : undefined;
  } finally {
    database?.close();
  }
}

const lockOf = (path: string) => join(dirname(path), `.${basename(path)}.lock`);

/** Creates files for the owner only: any user who can read a file can lock it (fcntl(2)) and so block the start. */
function forOwnerOnly<Made>(make: () => Made): Made {
  const before = process.umask(0o077);
  try {
    return make();
  } finally {
    process.umask(before);
  }
}

/** Takes the write lock. Others can still read the name of its process. */
function take(database: DatabaseSync): void {
  database.exec('BEGIN IMMEDIATE');
  try {
    database.exec(SIGN);
    const sign = database.prepare('INSERT INTO holder VALUES (?, ?, ?)');
    sign.run(process.pid, hostname(), new Date().toISOString());
    database.exec('COMMIT');
  } catch {
    // On a full disk the name cannot be written, but the lock still works.
    if (database.isTransaction) database.exec('ROLLBACK');
  }
  database.exec('BEGIN IMMEDIATE');
}

function nameOfHolder(database: DatabaseSync | undefined): string {
  try {
    const row = database?.prepare('SELECT pid, host, since FROM holder').get();
    if (row) return `process ${row['pid']} on ${row['host']} since ${row['since']}`;
  } catch {
    // The process could not write its name, or has not yet.
  }
  return 'another process';
}

const isBusy = (error: unknown) => (Number((error as { errcode?: unknown }).errcode) & 0xff) === SQLITE_BUSY;

/** `SQLITE 14` for an error of SQLite. */
function codeOf(error: unknown): string {
  const { code, errcode } = error as { code?: unknown; errcode?: unknown };
  return errcode === undefined ? String(code) : `SQLITE ${errcode}`;
}
