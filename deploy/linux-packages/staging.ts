/** Puts the files of a package below a folder, all of one time, as the package makers want them. */
import { execFile } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Entry } from './tree.ts';

const run = promisify(execFile);

/** Creates the files of `entries` below `folder`. */
export async function stage(folder: string, entries: readonly Entry[]): Promise<void> {
  for (const { path, mode, content } of entries) {
    const place = join(folder, path);
    await mkdir(dirname(place), { recursive: true });
    await writeFile(place, content);
    // Separately, because the umask removes bits from the mode at creation.
    await chmod(place, mode);
  }
}

/** Gives everything below the folder this time, and all folders the usual mode whatever the umask is. */
export async function settle(folder: string, date: Date): Promise<void> {
  const names = await readdir(folder, { recursive: true, withFileTypes: true });
  for (const entry of names) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isDirectory()) await chmod(path, 0o755);
    await utimes(path, date, date);
  }
  await chmod(folder, 0o755);
  await utimes(folder, date, date);
}

/** Runs a package maker, for which SOURCE_DATE_EPOCH is the time of what has no time of its own. */
export async function runAt(date: Date, program: string, args: readonly string[]): Promise<void> {
  // Through env, which passes the rest of the environment on.
  await run('env', [`SOURCE_DATE_EPOCH=${date.getTime() / 1000}`, program, ...args]);
}

/** A maintainer script: the common part, then its own. @param name `deb/postinst` */
export async function scriptText(name: string): Promise<string> {
  const read = (path: string) => readFile(join(import.meta.dirname, 'scripts', path), 'utf8');
  return `${await read('common.sh')}\n${await read(name)}`;
}
