/** Single executables as `npm run build:sea` makes them, in a folder that everybody may read. */
import { execFile } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { TARGETS } from '../../deploy/executable/targets.ts';
import { createFolder, type Folder } from './folder.ts';

const run = promisify(execFile);
const BUILD = join(import.meta.dirname, '../../deploy/executable/build.ts');
const LIMIT_MS = 240_000;

export interface Executables extends Disposable {
  /** Executables, licences, sums. */
  readonly folder: string;
  /** Output of the build. */
  readonly report: string;
  fileOf(target: string): string;
  /** Creates a folder with only that executable; returns the executable's path. */
  alone(target: string): string;
}

/** Builds the named targets. */
export async function buildExecutables(...targets: readonly string[]): Promise<Executables> {
  const work: Folder = createFolder();
  chmodSync(work.path, 0o755);
  const folder = join(work.path, 'built');
  try {
    const { stdout } = await run(process.execPath, [BUILD, '--out', folder, ...targets], { timeout: LIMIT_MS });
    const fileOf = (target: string) => join(folder, TARGETS[target]?.file ?? 'none');
    return {
      folder,
      report: stdout,
      fileOf,
      alone(target) {
        const empty = join(work.path, 'alone');
        mkdirSync(empty);
        cpSync(fileOf(target), join(empty, 'aritma-sidecar'));
        return join(empty, 'aritma-sidecar');
      },
      [Symbol.dispose]: () => work[Symbol.dispose](),
    };
  } catch (error) {
    work[Symbol.dispose]();
    throw error;
  }
}
