/**
 * `rotate` dies at every point at which it can: around each change it makes to a file and each request it sends, and in
 * the middle of each write. Run again, it ends as if nothing had happened, and a sidecar that lives on the secret all the
 * while answers every request. The rotation people usually write does not survive the same.
 */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isRequest, type Point, pointsOf, undoable } from '../support/kill-matrix.ts';
import { controlThrough, inLanes, type Row, type RowResult, rotateThrough } from '../support/kill-rows.ts';
import { startLoadedSidecar } from '../support/loaded-sidecar.ts';
import { BYSTANDER, createRotationWorld, type Lane, type RotationWorld, valueIn } from '../support/rotation-lanes.ts';

const LANES = 6;
const REQUESTS_PER_SECOND = 200;
const NAIVE = join(import.meta.dirname, '../support/naive-rotation-program.ts');

const failedIn = (results: readonly RowResult[]) => results.filter(({ wrong }) => wrong.length > 0);
const sum = (results: readonly RowResult[]) => results.reduce((total, { kills }) => total + kills, 0);

/** Every change of a rotation without a journal and of one that has one, for the first is only different up to there. */
async function record(world: RotationWorld, lane: Lane): Promise<{ first: string[]; usual: string[] }> {
  const [first, usual] = [await world.rotate(lane), await world.rotate(lane)];
  expect([first.code, usual.code, first.output, usual.output]).toEqual([0, 0, expect.anything(), expect.anything()]);
  const begun = first.changes.findIndex((change) => change.startsWith('sync folder '));
  return { first: first.changes.slice(0, begun + 1), usual: [...usual.changes] };
}

/** What only a run after a crash does, at each point of it: a second crash in the middle of cleaning up after one. */
async function recordRecoveries(world: RotationWorld, lane: Lane, usual: readonly string[]): Promise<Row[]> {
  const rows: Row[] = [];
  for (const change of ['write .secret.aritma-new #1', 'sync .secret.rotation.aritma-new #3']) {
    const point: Point = { change, when: 'after' };
    await world.rotate(lane, { point });
    const { changes } = await world.rotate(lane);
    const begun = changes.findIndex(isRequest);
    const special = changes.slice(0, begun < 0 ? changes.length : begun).filter((name) => !usual.includes(name));
    rows.push(...pointsOf(special).map((second) => ({ points: [point, second] })));
  }
  return rows;
}

describe('rotate, killed', () => {
  it('goes on at the next run wherever it died, and callers notice nothing', { timeout: 1_500_000 }, async () => {
    await using world = await createRotationWorld({ lanes: LANES, rotation: { overlap: '4s' } });
    const bystander = await world.secretsOf(BYSTANDER);
    const { load, tokenRequests } = await startLoadedSidecar(world, REQUESTS_PER_SECOND);
    const [recorder, ...others] = world.lanes as [Lane, ...Lane[]];
    const { first, usual } = await record(world, recorder);
    const recoveries = await recordRecoveries(world, recorder, usual);
    expect(undoable(usual)).toEqual([]);
    await Promise.all(others.map((lane) => world.rotate(lane)));
    const rows: Row[] = [
      ...pointsOf(usual).map((point) => ({ points: [point] })),
      ...pointsOf(first).map((point) => ({ points: [point], isFirst: true })),
      ...recoveries,
    ];
    const results = await inLanes(world.lanes, rows, (lane, row) => rotateThrough(world, lane, row));
    const { requests, failed, failures } = await load.stop();
    const resumed = results.length - failedIn(results).length;
    process.stdout.write(`${sum(results)} kills, ${resumed} resumed, ${requests} requests, ${failed} failed\n`);
    expect(failedIn(results)).toEqual([]);
    expect(failures).toEqual({});
    // A token outlives a gap without a working secret: this would show it.
    expect(await tokenRequests()).toEqual({ ok: expect.any(Number) });
    expect(await world.secretsOf(BYSTANDER)).toEqual(bystander);
    expect(usual.length).toBeGreaterThan(50);
    expect(requests).toBeGreaterThan(5000);
  });

  it('is more than the usual script can: that one loses or leaves secrets', { timeout: 120_000 }, async () => {
    await using world = await createRotationWorld({ lanes: 20 });
    const [recorder, ...lanes] = world.lanes as [Lane, ...Lane[]];
    const programOf = (lane: Lane) => [NAIVE, lane.origin, lane.clientId, lane.secretFile];
    const before = valueIn(recorder);
    const { code, changes, output } = await world.rotate(recorder, { program: programOf(recorder) });
    expect([code, output]).toEqual([0, '']);
    expect(valueIn(recorder)).not.toBe(before);
    const rows = pointsOf(changes).map((point) => ({ points: [point] }));
    expect(rows.length).toBeLessThanOrEqual(lanes.length);
    const pairs = rows.map((row, index) => ({ row, lane: lanes[index] as Lane }));
    const results = await inLanes(lanes.slice(0, 3), pairs, (_turn, { row, lane }) =>
      controlThrough(world, lane, { ...row, program: programOf(lane) }),
    );
    const survived = results.length - failedIn(results).length;
    process.stdout.write(`naive control: ${results.length} rows, ${survived} survived\n`);
    expect(sum(results)).toBe(rows.length);
    expect(failedIn(results).length).toBeGreaterThanOrEqual(rows.length / 2);
  });
});
