/**
 * The files of a package: where each goes, with which mode, and what is in it. The units, the first configuration and the
 * drop-ins are those of deploy/systemd with the program's place changed, because /usr/local is not a package's.
 */
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { changelogText, copyrightText } from './debian-texts.ts';
import type { Release } from './release.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');
const DOC = '/usr/share/doc/aritma-sidecar';

export interface Entry {
  /** In the installed system. */
  readonly path: string;
  readonly mode: number;
  readonly content: string | Buffer;
  /** Changed by administrators: kept by an upgrade. */
  readonly isConfig?: boolean;
}

/** Where the families differ. */
export type Family = 'deb' | 'rpm';

/** All files of a package. @param built folder with the executables, licences and list of contents */
export async function filesOf(family: Family, executable: Buffer, built: string, release: Release): Promise<Entry[]> {
  const text = (path: string) => readFile(join(ROOT, path), 'utf8');
  const unit = async (name: string) =>
    file(`/usr/lib/systemd/system/${name}`, unitText(await text(`deploy/systemd/${name}`)));
  const manual = async (name: string) =>
    file(`/usr/share/man/man${name.at(-1)}/${name}.gz`, zipped(manualText(await text(`deploy/man/${name}`), release)));
  return [
    { path: '/usr/bin/aritma-sidecar', mode: 0o755, content: executable },
    { ...file('/etc/aritma-sidecar/config.yaml', await text('deploy/systemd/config.yaml')), isConfig: true },
    await unit('aritma-sidecar.service'),
    await unit('aritma-sidecar@.service'),
    ...(await dropIns()),
    file('/usr/lib/sysusers.d/aritma-sidecar.conf', 'u aritma-sidecar - "Aritma sidecar" / /usr/sbin/nologin\n'),
    await manual('aritma-sidecar.1'),
    await manual('aritma-sidecar.yaml.5'),
    ...(await completions(family)),
    file(`${DOC}/sbom.cdx.json`, await readFile(join(built, 'sbom.cdx.json'))),
    ...(family === 'deb' ? await debianDocs(built, release) : await rpmDocs(built)),
  ];
}

function file(path: string, content: string | Buffer): Entry {
  return { path, mode: 0o644, content };
}

/** As `gzip -9n`: Node writes neither name nor time. */
function zipped(text: string): Buffer {
  return gzipSync(text, { level: 9 });
}

function unitText(unit: string): string {
  const paths = '--allow-fs-read=/usr/local/bin --allow-fs-read=/usr/local/lib ';
  const packaged = unit
    .replace(paths, '--allow-fs-read=/usr/bin/aritma-sidecar ')
    .replace('/usr/local/bin/aritma-sidecar ', '/usr/bin/aritma-sidecar ')
    .replace(/^(Description=.*\n)/m, '$1Documentation=man:aritma-sidecar(1) man:aritma-sidecar.yaml(5)\n');
  if (packaged.includes('/usr/local')) throw new Error('a unit of deploy/systemd names /usr/local in a new place');
  return packaged;
}

function manualText(page: string, { version, date }: Release): string {
  return page.replace(/^(\.TH \S+ \d) "" ""/m, `$1 "${date.toISOString().slice(0, 10)}" "aritma\\-sidecar ${version}"`);
}

async function dropIns(): Promise<Entry[]> {
  const folder = join(ROOT, 'deploy/systemd/options');
  const names = (await readdir(folder)).sort();
  const texts = names.map(async (name) =>
    file(`/usr/share/aritma-sidecar/systemd/${name}`, await readFile(join(folder, name))),
  );
  return Promise.all(texts);
}

/** From the source, because an executable for a foreign platform cannot be asked. */
async function completions(family: Family): Promise<Entry[]> {
  const zsh = family === 'deb' ? 'vendor-completions' : 'site-functions';
  const places = {
    bash: '/usr/share/bash-completion/completions/aritma-sidecar',
    zsh: `/usr/share/zsh/${zsh}/_aritma-sidecar`,
    fish: '/usr/share/fish/vendor_completions.d/aritma-sidecar.fish',
  };
  const scripts = Object.entries(places).map(async ([shell, path]) => {
    const { stdout } = await run(process.execPath, [join(ROOT, 'src/main.ts'), 'completion', shell]);
    return file(path, stdout);
  });
  return Promise.all(scripts);
}

async function debianDocs(built: string, release: Release): Promise<Entry[]> {
  return [
    file(`${DOC}/copyright`, copyrightText(release)),
    file(`${DOC}/changelog.gz`, zipped(await readFile(join(ROOT, 'CHANGELOG.md'), 'utf8'))),
    file(`${DOC}/changelog.Debian.gz`, zipped(changelogText(release))),
    file(`${DOC}/THIRD-PARTY.txt.gz`, zipped(await readFile(join(built, 'THIRD-PARTY.txt'), 'utf8'))),
    file('/usr/share/lintian/overrides/aritma-sidecar', await readFile(join(import.meta.dirname, 'lintian-overrides'))),
  ];
}

async function rpmDocs(built: string): Promise<Entry[]> {
  return [
    file(`${DOC}/CHANGELOG.md`, await readFile(join(ROOT, 'CHANGELOG.md'))),
    file('/usr/share/licenses/aritma-sidecar/LICENSE', await readFile(join(built, 'LICENSE'))),
    file('/usr/share/licenses/aritma-sidecar/THIRD-PARTY.txt', await readFile(join(built, 'THIRD-PARTY.txt'))),
  ];
}
