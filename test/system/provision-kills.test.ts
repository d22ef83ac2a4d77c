/** `iam provision` killed with SIGKILL before, in the middle of and after every change it makes on disk, and run again. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Emulator, startEmulator } from '../../src/emulator/server.ts';
import { type Point, pointsOf, undoable } from '../support/kill-matrix.ts';
import { createProvisionLane } from '../support/provision-lane.ts';

/** So many processes at a time. */
const SIDE_BY_SIDE = 3;

let emulator: Emulator;
beforeAll(async () => {
  emulator = await startEmulator({ port: 0 });
});
afterAll(() => emulator.close());

/** What is wrong at the end; empty = it survived. */
async function dieAndResume(point: Point, index: number): Promise<string[]> {
  using lane = createProvisionLane(emulator.url, `row-${index}.`);
  const first = await lane.run(point);
  const wrong = first.signal === 'SIGKILL' ? [] : [`not killed: exit ${first.code} ${first.output}`];
  const second = await lane.run();
  if (second.code !== 0) wrong.push(`the second run exits with ${second.code}: ${second.output}`);
  return [...wrong, ...(await lane.wrong())];
}

describe('iam provision, killed', () => {
  it('is finished by the next run wherever it died on disk: one client, one secret that works, nothing left behind', async () => {
    using recorder = createProvisionLane(emulator.url, 'recorder');
    const { code, changes } = await recorder.run();
    expect([code, await recorder.wrong(), undoable(changes)]).toEqual([0, [], []]);
    expect(changes.filter((change) => change.startsWith('write ')).length).toBeGreaterThan(4);
    const rows = pointsOf(changes).map((point, index) => ({ point, index }));
    const waiting = rows.values();
    const failed: string[] = [];
    const work = async () => {
      for (const { point, index } of waiting) {
        const wrong = await dieAndResume(point, index);
        if (wrong.length > 0) failed.push(`${point.when} ${point.change}: ${wrong.join('; ')}`);
      }
    };
    await Promise.all(Array.from({ length: SIDE_BY_SIDE }, work));
    process.stdout.write(`provision: ${rows.length} kills on disk, ${rows.length - failed.length} resumed\n`);
    expect(failed).toEqual([]);
  }, 600_000);
});
