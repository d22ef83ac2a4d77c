/**
 * A sidecar that rotates by itself dies at each boundary of its rotation: around every file it puts in place and around
 * what it changes at IAM. Started again, it goes on by itself and serves.
 */
import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Point, pointsOf } from '../support/kill-matrix.ts';
import { inLanes, nameOf } from '../support/kill-rows.ts';
import {
  createRotationWorld,
  journalOf,
  journalWrong,
  type Lane,
  leftWrong,
  MAIN,
  type RotationWorld,
  type Started,
  unsafeNow,
  valueIn,
} from '../support/rotation-lanes.ts';
import { until } from '../support/until.ts';

const LANES = 5;
/** The sidecar looks every ten seconds whether something is due. */
const ROTATED_WITHIN_MS = 60_000;

const serve = (world: RotationWorld, lane: Lane, point?: Point) =>
  world.start(lane, { program: [MAIN, 'serve', '--config', lane.config], point, limitMs: 120_000 });

/** As if nothing had been rotated since 1970: due at once, and then not for an hour. */
function makeDue(lane: Lane): void {
  const { rotatedAt: _long, ...journal } = journalOf(lane);
  writeFileSync(`${lane.secretFile}.rotation`, JSON.stringify({ ...journal, since: 0 }));
}

async function untilRotated(lane: Lane, { output }: Started): Promise<void> {
  const isDone = () => journalOf(lane).rotatedAt !== undefined && journalOf(lane).attempt === undefined;
  await until('the sidecar has rotated', isDone, ROTATED_WITHIN_MS).catch((error: unknown) => {
    throw new Error(`not rotated: ${output()}`, { cause: error });
  });
}

/** It may have ended a rotation before it listens. */
async function answerOf({ output }: Started): Promise<number> {
  const urlIn = () => /"address":"([^"]+)","message":"listening for callers"/.exec(output())?.[1];
  await until('the sidecar listens', () => urlIn() !== undefined, 20_000);
  const url = urlIn();
  return (await fetch(`${url}/banking/accounts`)).status;
}

async function stop({ child, ended }: Started): Promise<readonly string[]> {
  child.kill('SIGTERM');
  const { code, output, changes } = await ended;
  expect([code, output]).toEqual([0, expect.anything()]);
  return changes;
}

async function rotateThrough(world: RotationWorld, lane: Lane, point: Point) {
  const old = valueIn(lane);
  makeDue(lane);
  const { signal, changes } = await serve(world, lane, point).ended;
  const isKilled = signal === 'SIGKILL' && changes.includes(point.change);
  const wrong = [...(isKilled ? [] : [`not killed there: ${changes.at(-1)}`]), ...(await unsafeNow(world, lane))];
  const next = serve(world, lane);
  await untilRotated(lane, next);
  const status = await answerOf(next);
  if (status !== 200) wrong.push(`answers ${status} afterwards`);
  await stop(next);
  wrong.push(...(await leftWrong(world, lane, old)), ...(await journalWrong(world, lane, old)));
  return { row: nameOf({ points: [point] }), wrong };
}

describe('a sidecar that rotates by itself, killed', () => {
  it('goes on when it is started again, wherever it died', { timeout: 600_000 }, async () => {
    await using world = await createRotationWorld({ lanes: LANES, rotation: { every: '1h', overlap: '1s' } });
    await Promise.all(world.lanes.map((lane) => world.rotate(lane)));
    const recorder = world.lanes[0] as Lane;
    makeDue(recorder);
    const running = serve(world, recorder);
    await untilRotated(recorder, running);
    const changes = await stop(running);
    const points = pointsOf(changes.filter((change) => /^(rename|link|POST secrets|DELETE) /.test(change)));
    const results = await inLanes(world.lanes, points, (lane, point) => rotateThrough(world, lane, point));
    const wrong = results.filter((result) => result.wrong.length > 0);
    process.stdout.write(`${results.length} sidecars killed, ${results.length - wrong.length} went on\n`);
    expect(wrong).toEqual([]);
    expect(points.length).toBeGreaterThanOrEqual(16);
  });
});
