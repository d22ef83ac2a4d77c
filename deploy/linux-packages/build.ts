/**
 * Makes the Linux packages: `npm run build:packages [-- FLAGS] [TARGET…]`, a .deb and an .rpm for each Linux executable by
 * default, into `dist-packages/`, with the SHA-256 of every file. README.md has the flags.
 */
import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { TARGETS } from '../executable/targets.ts';
import { buildDeb, type PackageInput } from './deb.ts';
import { manifestOf, type Release, releaseTime } from './release.ts';
import { buildRpm } from './rpm.ts';
import { type Family, filesOf } from './tree.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');

/** Names of the machine in each family. */
const ARCHITECTURES: Readonly<Record<string, Readonly<Record<Family, string>>>> = {
  'linux-x64': { deb: 'amd64', rpm: 'x86_64' },
  'linux-arm64': { deb: 'arm64', rpm: 'aarch64' },
};

const BUILDERS: Readonly<Record<Family, (input: PackageInput) => Promise<string>>> = { deb: buildDeb, rpm: buildRpm };
const TOOLS: Readonly<Record<Family, readonly [program: string, source: string]>> = {
  deb: ['dpkg-deb', 'apt install dpkg-dev on Debian and Ubuntu, dnf install dpkg on Fedora'],
  rpm: ['rpmbuild', 'apt install rpm on Debian and Ubuntu, dnf install rpm-build on Fedora and RHEL'],
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    executables: { type: 'string' },
    out: { type: 'string', default: join(ROOT, 'dist-packages') },
    only: { type: 'string' },
    revision: { type: 'string', default: '1' },
    maintainer: { type: 'string', default: 'aritma-sidecar <root@localhost>' },
    homepage: { type: 'string' },
    fast: { type: 'boolean', default: false },
  },
});

const targets = positionals.length > 0 ? positionals : Object.keys(ARCHITECTURES);
const families = (['deb', 'rpm'] as const).filter((family) => values.only === undefined || values.only === family);
refuseMistakes();
await buildAll(resolve(values.out));

function refuseMistakes(): void {
  const unknown = targets.filter((name) => !(name in ARCHITECTURES));
  if (unknown.length > 0) fail(`no target ${unknown.join(', ')}; there are ${Object.keys(ARCHITECTURES).join(', ')}`);
  if (families.length === 0) fail(`--only ${values.only}: deb or rpm`);
  if (!/^[1-9]\d*$/.test(values.revision)) fail(`--revision ${values.revision}: 1, 2, …`);
  for (const family of families) {
    const [program, source] = TOOLS[family];
    if (spawnSync(program, ['--version']).error)
      fail(`${program} is missing: ${source}; or build only the other family`);
  }
}

async function buildAll(out: string): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'aritma-sidecar-packages-'));
  try {
    await mkdir(out, { recursive: true });
    const built = values.executables === undefined ? await buildExecutables(work) : resolve(values.executables);
    const release: Release = {
      version: manifestOf().version,
      revision: Number(values.revision),
      date: releaseTime(),
      maintainer: values.maintainer,
      homepage: values.homepage,
    };
    const names: string[] = [];
    for (const target of targets) {
      for (const family of families) names.push(await buildOne({ target, family, built, release, work, out }));
    }
    await writeSums(out, names);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

interface One {
  readonly target: string;
  readonly family: Family;
  readonly built: string;
  readonly release: Release;
  readonly work: string;
  readonly out: string;
}

async function buildOne({ target, family, built, release, work, out }: One): Promise<string> {
  const executable = await readFile(join(built, TARGETS[target]?.file ?? target));
  const name = await BUILDERS[family]({
    executable,
    entries: await filesOf(family, executable, built, release),
    release,
    architecture: ARCHITECTURES[target]?.[family] ?? target,
    isFast: values.fast,
    work: join(work, `${family}-${target}`),
    out,
  });
  process.stdout.write(`${name}\n`);
  return name;
}

async function buildExecutables(work: string): Promise<string> {
  const folder = join(work, 'executables');
  await run(process.execPath, [join(ROOT, 'deploy/executable/build.ts'), '--out', folder, ...targets]);
  return folder;
}

/** In the form `sha256sum --check` reads. */
async function writeSums(out: string, names: readonly string[]): Promise<void> {
  const lines: string[] = [];
  for (const name of names) {
    const hash = createHash('sha256').update(await readFile(join(out, name)));
    lines.push(`${hash.digest('hex')}  ${name}\n`);
  }
  await writeFile(join(out, 'SHA256SUMS'), lines.join(''));
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}
