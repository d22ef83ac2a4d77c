/**
 * One at a time: a lock file that says who holds it. A holder that was killed is recognised at once on its own machine, and
 * elsewhere by no longer renewing the lock.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { link, open, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { SidecarError } from '../../core/errors.ts';
import { writeFailure } from '../../core/file-errors.ts';

export interface Lock {
  /** @throws SidecarError ROTATION_LOCKED when somebody has taken it over */
  confirm(): Promise<void>;
  release(): Promise<void>;
}

interface Owner {
  readonly host: string;
  readonly pid: number;
  /** Tells a process from a later one with the same pid; empty where the system does not say. */
  readonly startedAt: string;
  /** Tells two locks of one process apart. */
  readonly nonce: string;
  /** ISO 8601. */
  readonly since: string;
}

/** A holder renews its lock this often. On another machine, one not renewed for DEAD_AFTER_MS is stale. */
const RENEW_MS = 10_000;
const DEAD_AFTER_MS = 60_000;

/** @throws SidecarError ROTATION_LOCKED with the holder in `fields`, ROTATION_STORE_FAILED */
export async function acquireLock(path: string): Promise<Lock> {
  const owner: Owner = {
    host: hostname(),
    pid: process.pid,
    startedAt: startOf(process.pid),
    nonce: randomUUID(),
    since: new Date().toISOString(),
  };
  // Twice: the first try may find a dead holder's lock and move it out of the way.
  if (!(await tryCreate(path, owner)) && !((await breakStaleLock(path)) && (await tryCreate(path, owner)))) {
    throw locked(await readSettled(path));
  }
  await removeLeftovers(path, owner);
  const isMine = async () => (await readSettled(path))?.nonce === owner.nonce;
  const renewing = setInterval(() => void isMine().then((mine) => (mine ? renew(path) : undefined)), RENEW_MS);
  renewing.unref();
  return {
    async confirm() {
      if (!(await isMine())) throw locked(await readSettled(path));
    },
    async release() {
      clearInterval(renewing);
      if (await isMine()) await rm(path, { force: true });
    },
  };
}

/** A lock that cannot be renewed is missed by `confirm` when somebody takes it. */
async function renew(path: string): Promise<void> {
  const now = new Date();
  await utimes(path, now, now).catch(() => undefined);
}

/** What file systems say that know no second name for a file: FAT, some network shares. */
const NO_LINKS: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

const codeOf = (error: unknown) => String((error as NodeJS.ErrnoException).code);

/** Written aside and linked into place, so that a lock never exists without its owner's name in it. */
async function tryCreate(path: string, owner: Owner): Promise<boolean> {
  const draft = `${path}.${owner.nonce}`;
  let isDrafted = false;
  try {
    const file = await open(draft, 'wx', 0o600);
    isDrafted = true;
    await file.writeFile(JSON.stringify(owner));
    await file.close();
    await link(draft, path).catch((error: unknown) => {
      if (!NO_LINKS.has(codeOf(error))) throw error;
      return writeFile(path, JSON.stringify(owner), { flag: 'wx', mode: 0o600 });
    });
    return true;
  } catch (error) {
    const errno = codeOf(error);
    // Held; or the holder of the lock has just removed the draft.
    if (errno === 'EEXIST' || (isDrafted && errno === 'ENOENT')) return false;
    throw new SidecarError('ROTATION_STORE_FAILED', {
      cause: error,
      fields: { doing: 'lock', file: path, errno },
      failure: writeFailure(errno, path),
    });
  } finally {
    // The next holder removes a draft that stays behind; whether we have the lock does not depend on it.
    await rm(draft, { force: true }).catch(() => undefined);
  }
}

/** True when the way is free. */
async function breakStaleLock(path: string): Promise<boolean> {
  const owner = await readOwner(path);
  if (!(await isDead(path, owner))) return false;
  const aside = `${path}.${randomUUID()}`;
  // Only one of several can move it; the others find nothing to move.
  if (!(await moved(path, aside))) return false;
  const movedOwner = await readOwner(aside);
  if (movedOwner?.nonce !== owner?.nonce) {
    // Between looking and moving, somebody else broke the stale lock and took a new one: it is alive, so it goes back.
    await link(aside, path).catch(() => undefined);
    await rm(aside, { force: true });
    return false;
  }
  await rm(aside, { force: true });
  return true;
}

/** Drafts, and locks moved aside, of processes that were killed. Its own lock may be among them: see `readSettled`. */
async function removeLeftovers(path: string, { nonce }: Owner): Promise<void> {
  const folder = dirname(path);
  // A folder that may be written and not be listed keeps them.
  for (const name of await readdir(folder).catch(() => [])) {
    const aside = join(folder, name);
    if (!name.startsWith(`${basename(path)}.`) || (await readOwner(aside))?.nonce === nonce) continue;
    await rm(aside, { force: true }).catch(() => undefined);
  }
}

function moved(from: string, to: string): Promise<boolean> {
  return rename(from, to).then(
    () => true,
    () => false,
  );
}

async function isDead(path: string, owner: Owner | undefined): Promise<boolean> {
  if (owner?.host === hostname()) {
    const state = stateOf(owner);
    if (state === 'dead') return true;
    // This very process renews what it holds; what it could not remove when it let go is held by nobody.
    if (state === 'alive' && owner.pid !== process.pid) return false;
  }
  const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: 0 }));
  // A stamp far in the future is of a clock that was set back since, and would hold everybody up until then.
  return Math.abs(Date.now() - mtimeMs) > DEAD_AFTER_MS;
}

/** Unknown: some process has that pid, and the system does not tell which (Windows; /proc out of reach). */
function stateOf({ pid, startedAt }: Owner): 'alive' | 'dead' | 'unknown' {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it is there, and somebody else's.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return 'dead';
  }
  const current = startOf(pid);
  if (current === '' || startedAt === '') return 'unknown';
  // A restarted container has the same pid and is another process.
  return current === startedAt ? 'alive' : 'dead';
}

/** When a process that runs was started, as Linux counts it (proc(5), fields 3 and 22); empty elsewhere. */
function startOf(pid: number): string {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [state, ...fields] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    // A zombie has ended, and signals still find it until its parent asks; where that is a program in a container, never.
    return state === 'Z' || state === 'X' ? 'ended' : (fields[18] ?? '');
  } catch {
    return '';
  }
}

/** While one of several takes the place of a dead holder there is no lock for a moment, or a living one is aside. */
const SETTLED_AFTER_MS = 300;

/** As `readOwner`, once nobody is about to put a lock there. */
async function readSettled(path: string): Promise<Owner | undefined> {
  for (const deadline = Date.now() + SETTLED_AFTER_MS; ; await setTimeout(10)) {
    const owner = await readOwner(path);
    if (owner || Date.now() > deadline) return owner;
  }
}

/** Undefined when there is none, or none that can be read. */
async function readOwner(path: string): Promise<Owner | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Owner;
  } catch {
    return undefined;
  }
}

function locked(owner: Owner | undefined): SidecarError {
  const fields = owner ? { host: owner.host, pid: owner.pid, since: owner.since } : { host: 'unknown' };
  return new SidecarError('ROTATION_LOCKED', { fields });
}
