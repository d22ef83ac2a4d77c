/** Linux packages as `npm run build:packages` makes them, with a small program of this machine in place of the sidecar's. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TARGETS } from '../../deploy/executable/targets.ts';

const ROOT = join(import.meta.dirname, '../..');
const BUILD = join(ROOT, 'deploy/linux-packages/build.ts');
const LIMIT_MS = 240_000;
/** Of no importance, only always the same. */
const EPOCH = '1767225600';
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };

/** Creates a folder with what a build of the executables leaves. */
export function createStandIns(folder: string): string {
  mkdirSync(folder);
  for (const target of ['linux-x64', 'linux-arm64']) cpSync('/bin/true', join(folder, TARGETS[target]?.file ?? target));
  cpSync(join(ROOT, 'LICENSE'), join(folder, 'LICENSE'));
  for (const name of ['THIRD-PARTY.txt', 'sbom.cdx.json']) writeFileSync(join(folder, name), '{}\n');
  return folder;
}

/** Runs the build; returns its output. */
export function buildPackages(executables: string, out: string, ...flags: readonly string[]): string {
  const args = [BUILD, '--executables', executables, '--out', out, ...flags];
  const env = { ...process.env, SOURCE_DATE_EPOCH: EPOCH };
  return execFileSync(process.execPath, args, { timeout: LIMIT_MS, encoding: 'utf8', env, stdio: 'pipe' });
}

export function debName(architecture: string, revision = 1): string {
  return `aritma-sidecar_${version}-${revision}_${architecture}.deb`;
}

export function rpmName(architecture: string, revision = 1): string {
  return `aritma-sidecar-${version}-${revision}.${architecture}.rpm`;
}

/** As CI has every tool, a test that wants one fails there without it. */
export function isThere(tool: string): boolean {
  return Boolean(process.env['CI']) || !spawnSync(tool, ['--version']).error;
}
