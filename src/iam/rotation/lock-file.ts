/**
 * A lock file that names its holder. On the same machine, a killed holder is detected at once; on another, because it
 * no longer renews the lock.
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
  /** Checks that the lock is still ours. @throws SidecarError ROTATION_LOCKED when somebody took it over */
  confirm(): Promise<void>;
  release(): Promise<void>;
}

interface Owner {
  readonly host: string;
  readonly pid: number;
  /** Tells a process from a later one with the same pid; empty where the system does not show it. */
  readonly startedAt: string;
  /** Tells two locks of one process apart. */
  readonly nonce: string;
  /** ISO 8601. */
  readonly since: string;
}

/** A holder renews its lock this often. On another machine, one not renewed for DEAD_AFTER_MS is stale. */
const RENEW_MS = 10_000;
const DEAD_AFTER_MS = 60_000;

/**
 * Takes the lock and renews it until `release`.
 * @throws SidecarError ROTATION_LOCKED with the holder in `fields`, ROTATION_STORE_FAILED
 */
export async function acquireLock(path: string): Promise<Lock> {
  const owner: Owner = {
    host: hostname(),
    pid: process.pid,
    startedAt: startOf(process.pid),
    nonce: randomUUID(),
    since: new Date().toISOString(),
  };
  // Twice: after the first try, a dead holder's lock may be moved out of the way.
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

/** Ignores failures: if somebody takes a lock that was not renewed, `confirm` finds out. */
async function renew(path: string): Promise<void> {
  const now = new Date();
  await utimes(path, now, now).catch(() => undefined);
}

/** Error codes of file systems without hard links: FAT, some network shares. */
const NO_LINKS: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

const codeOf = (error: unknown) => String((error as NodeJS.ErrnoException).code);

/** Writes a draft and links it into place, so that a lock file always names its owner. */
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
    // Somebody holds the lock, or its holder has just removed our draft.
    if (errno === 'EEXIST' || (isDrafted && errno === 'ENOENT')) return false;
    throw new SidecarError('ROTATION_STORE_FAILED', {
      cause: error,
      fields: { doing: 'lock', file: path, errno },
      failure: writeFailure(errno, path),
    });
  } finally {
    // If this fails, the next holder removes the draft; the lock does not depend on it.
    await rm(draft, { force: true }).catch(() => undefined);
  }
}

/** Removes the lock of a dead holder. True when it is removed. */
async function breakStaleLock(path: string): Promise<boolean> {
  const owner = await readOwner(path);
  if (!(await isDead(path, owner))) return false;
  const aside = `${path}.${randomUUID()}`;
  // Only one process can move it; the others find nothing to move.
  if (!(await moved(path, aside))) return false;
  const movedOwner = await readOwner(aside);
  if (movedOwner?.nonce !== owner?.nonce) {
    // Between reading and moving, somebody else broke the stale lock and took a new one: put that one back.
    await link(aside, path).catch(() => undefined);
    await rm(aside, { force: true });
    return false;
  }
  await rm(aside, { force: true });
  return true;
}

/** Removes drafts and moved locks of killed processes, but not our own lock, which may be moved: see `readSettled`. */
async function removeLeftovers(path: string, { nonce }: Owner): Promise<void> {
  const folder = dirname(path);
  // If the folder cannot be listed, they stay.
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
    // A lock of this very process may be one it could not remove on release: then nobody renews it, and its age
    // decides.
    if (state === 'alive' && owner.pid !== process.pid) return false;
  }
  const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: 0 }));
  // A stamp far in the future also counts as dead: the clock was set back since, and nobody could take the lock until
  // then.
  return Math.abs(Date.now() - mtimeMs) > DEAD_AFTER_MS;
}

/** `unknown`: a process has that pid, but the system does not show which one (Windows; no access to /proc). */
function stateOf({ pid, startedAt }: Owner): 'alive' | 'dead' | 'unknown' {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: the process exists and belongs to another user.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return 'dead';
  }
  const current = startOf(pid);
  if (current === '' || startedAt === '') return 'unknown';
  // After a restart of a container, another process has the same pid.
  return current === startedAt ? 'alive' : 'dead';
}

/** Returns the start time of a running process as Linux shows it (proc(5), fields 3 and 22); empty on other systems. */
function startOf(pid: number): string {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [state, ...fields] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    // A zombie has ended, but signals find it until its parent waits for it; in a container, the parent may never do
    // so.
    return state === 'Z' || state === 'X' ? 'ended' : (fields[18] ?? '');
  } catch {
    return '';
  }
}

/** While a process replaces a dead holder, for a moment no lock exists or a live one is moved aside. */
const SETTLED_AFTER_MS = 300;

/** Like `readOwner`, but waits up to 300 ms for a lock to appear. */
async function readSettled(path: string): Promise<Owner | undefined> {
  for (const deadline = Date.now() + SETTLED_AFTER_MS; ; await setTimeout(10)) {
    const owner = await readOwner(path);
    if (owner || Date.now() > deadline) return owner;
  }
}

/** Returns the owner in the file; undefined when there is no readable lock. */
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
