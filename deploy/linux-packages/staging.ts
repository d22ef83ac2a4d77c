/** Puts the files of a package below a folder and runs the package makers on it. */
import { execFile } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
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
  await openFolders(folder);
}

/** Gives all folders below this one, and itself, the usual mode whatever the umask is. */
async function openFolders(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) await chmod(join(entry.parentPath, entry.name), 0o755);
  }
  await chmod(folder, 0o755);
}

/** Runs a package maker. SOURCE_DATE_EPOCH makes it take this time for everything that is newer: for all files, and its own. */
export async function runAt(date: Date, program: string, args: readonly string[]): Promise<void> {
  // Through env, which passes the rest of the environment on.
  await run('env', [`SOURCE_DATE_EPOCH=${date.getTime() / 1000}`, program, ...args]);
}

/** A maintainer script: the common part, then its own. @param name `deb/postinst` */
export async function scriptText(name: string): Promise<string> {
  const read = (path: string) => readFile(join(import.meta.dirname, 'scripts', path), 'utf8');
  return `${await read('common.sh')}\n${await read(name)}`;
}
