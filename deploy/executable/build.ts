/**
 * Makes single executables: `npm run build:sea [-- [--out FOLDER] [TARGET…]]`, all targets by default, from any one of their
 * platforms. Beside them go the licences and the list of what they contain, and the SHA-256 of every file.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { bundle } from '../package/bundle.ts';
import { sbomText } from '../package/sbom.ts';
import { thirdPartyText } from '../package/third-party.ts';
import { unpackNode } from './node-binaries.ts';
import { hostTarget, NODE_FLAGS, NODE_VERSION, TARGETS, type Target } from './targets.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');
const STARTS = 5;

const { values, positionals } = parseArgs({ allowPositionals: true, options: { out: { type: 'string' } } });
const wanted = positionals.length > 0 ? positionals : Object.keys(TARGETS);
const unknown = wanted.filter((name) => !findTarget(name));
if (unknown.length > 0) {
  process.stderr.write(`no target ${unknown.join(', ')}; there are ${Object.keys(TARGETS).join(', ')}\n`);
  process.exit(2);
}
await build(resolve(values.out ?? join(ROOT, 'dist-sea')), wanted);

async function build(out: string, names: readonly string[]): Promise<void> {
  const targets = names.map((name) => [name, targetOf(name)] as const);
  const work = await mkdtemp(join(tmpdir(), 'aritma-sidecar-build-'));
  try {
    await mkdir(out, { recursive: true });
    const { chunks, packages } = await bundle('one');
    const main = join(work, 'main.mjs');
    await writeFile(main, chunks.map(({ code }) => code).join(''));
    // The Node that writes the program into another must be of its very version, whatever runs this script.
    const builder = await unpackBinary(hostTarget(), work);
    for (const [name, target] of targets) {
      const isHost = target === targetOf(hostTarget());
      const binary = isHost ? builder : await unpackBinary(name, work);
      await writeExecutable({ builder, binary, main, output: join(out, target.file), isHost, work });
      say(`${target.file}  ${await sizeOf(join(out, target.file))}${isHost ? await startOf(out, target) : ''}`);
    }
    // One text for all platforms; not every platform's package brings it.
    const licence = await readFile(await unpackNode(targetOf('linux-x64'), 'LICENSE', work), 'utf8');
    await writeFile(join(out, 'THIRD-PARTY.txt'), thirdPartyText(packages, licence));
    await writeFile(join(out, 'sbom.cdx.json'), sbomText(packages, NODE_VERSION));
    await copyFile(join(ROOT, 'LICENSE'), join(out, 'LICENSE'));
    await writeSums(out, [...targets.map(([, { file }]) => file), 'LICENSE', 'THIRD-PARTY.txt', 'sbom.cdx.json']);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function unpackBinary(name: string, work: string): Promise<string> {
  const target = targetOf(name);
  return unpackNode(target, target.binary, work);
}

function targetOf(name: string): Target {
  const target = findTarget(name);
  if (!target) throw new Error(`no target ${name}`);
  return target;
}

/** Also as container builds call it. */
function findTarget(name: string): Target | undefined {
  return TARGETS[name.replace(/-amd64$/, '-x64')];
}

interface Executable {
  readonly builder: string;
  readonly binary: string;
  readonly main: string;
  readonly output: string;
  /** V8 can only prepare code for the platform it runs on; elsewhere it is compiled at every start. */
  readonly isHost: boolean;
  readonly work: string;
}

async function writeExecutable({ builder, binary, main, output, isHost, work }: Executable): Promise<void> {
  const config = join(work, 'sea.json');
  const settings = {
    ...{ main, mainFormat: 'module', executable: binary, output, useCodeCache: isHost, execArgv: NODE_FLAGS },
    // The heap's size is set with NODE_OPTIONS; what would open the process to others is refused at the start.
    execArgvExtension: 'env',
    disableExperimentalSEAWarning: true,
  };
  await writeFile(config, JSON.stringify(settings));
  // V8 takes what was prepared under the same flags, and complains about anything else.
  await run(builder, [...NODE_FLAGS, '--build-sea', config]);
}

async function sizeOf(file: string): Promise<string> {
  return `${((await stat(file)).size / 1024 ** 2).toFixed(1)} MiB, Node ${NODE_VERSION}`;
}

async function startOf(out: string, { file }: Target): Promise<string> {
  const times: number[] = [];
  for (let start = 0; start < STARTS; start += 1) {
    const before = performance.now();
    await run(join(out, file), ['--version'], { env: {} });
    times.push(performance.now() - before);
  }
  return `, \`--version\` in ${Math.round(times.sort((a, b) => a - b)[Math.floor(STARTS / 2)] ?? 0)} ms`;
}

/** In the form `sha256sum --check` reads. */
async function writeSums(out: string, names: readonly string[]): Promise<void> {
  const lines: string[] = [];
  for (const name of names) {
    const sum = createHash('sha256')
      .update(await readFile(join(out, name)))
      .digest('hex');
    lines.push(`${sum}  ${name}\n`);
  }
  await writeFile(join(out, 'SHA256SUMS'), lines.join(''));
  say(`SHA256SUMS over ${lines.length} files in ${out}`);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
