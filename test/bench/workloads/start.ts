/** Time from process start until ready with a token; and the size of the package. */
import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { setupFor, type World } from '../lanes.ts';
import { SIDECAR } from '../subjects/sidecar.ts';
import { PLAIN } from './workload.ts';

export interface PackageSize {
  readonly packedBytes: number;
  readonly unpackedBytes: number;
  readonly files: number;
}

const ROOT = join(import.meta.dirname, '../../..');

/** Returns ms of each start. */
export async function timeStarts(world: World, rounds: number): Promise<number[]> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const setup = setupFor(world, PLAIN);
    const running = await SIDECAR.start({ ...setup, sidecar: { ...setup.sidecar, anyCore: true } });
    await running.stop();
    rmSync(setup.folder, { recursive: true, force: true });
    times.push(running.readyMs ?? Number.NaN);
  }
  return times;
}

/** Measures what `npm pack ./dist` would pack now. */
export async function measurePackage(): Promise<PackageSize> {
  const args = ['pack', './dist', '--dry-run', '--json'];
  const { stdout } = await promisify(execFile)('npm', args, { cwd: ROOT });
  const [packed] = JSON.parse(stdout) as [{ size: number; unpackedSize: number; entryCount: number }];
  return { packedBytes: packed.size, unpackedBytes: packed.unpackedSize, files: packed.entryCount };
}
