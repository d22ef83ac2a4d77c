/** A Debian package, with nothing but dpkg-deb. */
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { controlText, debianVersion } from './debian-texts.ts';
import { debianDependencies } from './dependencies.ts';
import type { Release } from './release.ts';
import { runAt, scriptText, stage } from './staging.ts';
import type { Entry } from './tree.ts';

export interface PackageInput {
  readonly executable: Buffer;
  readonly entries: readonly Entry[];
  readonly release: Release;
  /** In the words of the package manager. */
  readonly architecture: string;
  /** Little time instead of little space, for tests. */
  readonly isFast: boolean;
  /** Empty, for this package only. */
  readonly work: string;
  readonly out: string;
}

/** Returns the name of the file that it writes into `out`. */
export async function buildDeb(input: PackageInput): Promise<string> {
  const { executable, entries, release, architecture, isFast, work, out } = input;
  await mkdir(work);
  const sizes = entries.map(({ content }) => Math.ceil(Buffer.byteLength(content) / 1024));
  const control = controlText(release, {
    architecture,
    installedSize: sizes.reduce((sum, size) => sum + size, 0),
    dependencies: debianDependencies(executable),
  });
  await stage(work, [
    ...entries,
    ...(await Promise.all(['postinst', 'prerm', 'postrm'].map(scriptEntry))),
    { path: '/DEBIAN/control', mode: 0o644, content: control },
    { path: '/DEBIAN/conffiles', mode: 0o644, content: linesOf(entries.filter(({ isConfig }) => isConfig)) },
    { path: '/DEBIAN/md5sums', mode: 0o644, content: sumsOf(entries.filter(({ isConfig }) => !isConfig)) },
  ]);
  const name = `aritma-sidecar_${debianVersion(release)}_${architecture}.deb`;
  // xz is what every dpkg reads, and on one thread its bytes do not depend on the machine.
  const compression = isFast ? ['-Zgzip', '-z1'] : ['-Zxz', '-z6', '--threads-max=1'];
  const args = ['--root-owner-group', ...compression, '--build', work, join(out, name)];
  await runAt(release.date, 'dpkg-deb', args);
  return name;
}

async function scriptEntry(name: string): Promise<Entry> {
  return { path: `/DEBIAN/${name}`, mode: 0o755, content: await scriptText(`deb/${name}`) };
}

function linesOf(entries: readonly Entry[]): string {
  return entries.map(({ path }) => `${path}\n`).join('');
}

/** For `dpkg --verify`. */
function sumsOf(entries: readonly Entry[]): string {
  const lines = entries.map(({ path, content }) => {
    return `${createHash('md5').update(content).digest('hex')}  ${path.slice(1)}\n`;
  });
  return lines.join('');
}
