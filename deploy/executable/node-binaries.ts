/**
 * Fetches the Node of a platform from npm's registry, through npm, so that its proxy and mirror settings hold. Promises that
 * what it returns is what the checksum in the table says, fetched now or earlier.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { NODE_VERSION, type Target } from './targets.ts';

const run = promisify(execFile);

/** Tarballs stay here from build to build; `npm ci` removes them. */
const CACHE = join(import.meta.dirname, '../../node_modules/.cache/aritma-sidecar-node');

/** Unpacks one file of a package below `folder`. @throws Error when the package's checksum is not the one in the table */
export async function unpackNode(target: Target, path: string, folder: string): Promise<string> {
  const tarball = join(CACHE, `${target.package}-${NODE_VERSION}.tgz`);
  if (!existsSync(tarball)) await download(target, tarball);
  await verify(target, tarball);
  const unpacked = join(folder, target.package);
  await mkdir(unpacked, { recursive: true });
  await run('tar', ['-xzf', tarball, '-C', unpacked, '--strip-components=1', `package/${path}`]);
  return join(unpacked, path);
}

/** Aside first, so that a download cut off is not taken for the file. */
async function download(target: Target, tarball: string): Promise<void> {
  await mkdir(CACHE, { recursive: true });
  const aside = await mkdtemp(join(CACHE, 'download-'));
  try {
    const windows = process.platform === 'win32';
    const name = `${target.package}@${NODE_VERSION}`;
    // `shell`: npm is a command file on Windows. Nothing in these arguments comes from outside.
    await run(windows ? 'npm.cmd' : 'npm', ['pack', name, '--pack-destination', aside], { cwd: CACHE, shell: windows });
    await rename(join(aside, `${target.package}-${NODE_VERSION}.tgz`), tarball);
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}

async function verify(target: Target, tarball: string): Promise<void> {
  const found = `sha512-${createHash('sha512')
    .update(await readFile(tarball))
    .digest('base64')}`;
  if (found === target.integrity) return;
  await rm(tarball, { force: true });
  throw new Error(
    `${target.package}@${NODE_VERSION} is not what it should be: ${found} instead of ${target.integrity}`,
  );
}
