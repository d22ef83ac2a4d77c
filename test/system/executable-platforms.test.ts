/** The executables for platforms that this machine is not: they cannot be run here, so their bytes have to do. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NODE_VERSION, TARGETS } from '../../deploy/executable/targets.ts';
import { buildExecutables, type Executables } from '../support/executable.ts';
import { FUSE, formatOf } from '../support/executable-format.ts';
import { createFolder } from '../support/folder.ts';

const ROOT = join(import.meta.dirname, '../..');
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };

/**
 * The program put in makes Windows' signature one that does not fit, and takes macOS' away: both have to be signed anew,
 * which takes those systems' own tools.
 */
const EXPECTED = {
  'linux-arm64': { before: 'none', after: { kind: 'ELF', machine: 'arm64', signature: 'none' } },
  'win-x64': { before: 'intact', after: { kind: 'PE', machine: 'x64', signature: 'broken' } },
  'darwin-arm64': { before: 'intact', after: { kind: 'Mach-O', machine: 'arm64', signature: 'none' } },
} as const;

/** A bundler numbers names that more than one package has. */
function holdsProgram(file: Buffer): boolean {
  return ['VERSION', 'VERSION$1', 'VERSION$2'].some((name) => file.includes(`\t${name} = "${version}";`));
}

let built: Executables;
beforeAll(async () => {
  built = await buildExecutables(...Object.keys(EXPECTED));
}, 300_000);
afterAll(() => built?.[Symbol.dispose]());

describe.each(Object.entries(EXPECTED))('the executable for %s', (target, { before, after }) => {
  it('has the format, machine and state of signature that its platform will find', () => {
    expect(formatOf(readFileSync(built.fileOf(target)))).toEqual(after);
  });

  it('holds this version of the program, which Node will start', () => {
    const file = readFileSync(built.fileOf(target));
    expect(file.includes(`${FUSE}:1`)).toBe(true);
    expect(holdsProgram(file)).toBe(true);
  });

  it('was made from a Node without a program', () => {
    using folder = createFolder();
    const { package: name, binary } = TARGETS[target] ?? { package: '', binary: '' };
    const cache = join(ROOT, 'node_modules/.cache/aritma-sidecar-node');
    execFileSync('tar', ['-xzf', join(cache, `${name}-${NODE_VERSION}.tgz`), '-C', folder.path, `package/${binary}`]);
    const file = readFileSync(join(folder.path, 'package', binary));
    expect([formatOf(file).signature, file.includes(`${FUSE}:0`), holdsProgram(file)]).toEqual([before, true, false]);
  });
});
