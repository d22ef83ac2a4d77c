/** Rows of a kill matrix: a program is killed at a point and started again, and then the result is checked. */
import { rmSync } from 'node:fs';
import type { Point } from './kill-matrix.ts';
import {
  journalWrong,
  type Lane,
  leftWrong,
  type RotationWorld,
  type Run,
  unsafeNow,
  valueIn,
} from './rotation-lanes.ts';

export interface Row {
  /** Where each run is killed in turn; the last run is not killed. */
  readonly points: readonly Point[];
  /** Starts without a journal. */
  readonly isFirst?: boolean;
}

export interface RowResult {
  readonly row: string;
  readonly kills: number;
  /** Empty = it survived. */
  readonly wrong: readonly string[];
}

export const nameOf = ({ points, isFirst }: Row) =>
  `${isFirst ? 'first time, ' : ''}${points.map(({ when, change }) => `${when} ${change}`).join(', then ')}`;

/** Plays `rotate` through one row. */
export async function rotateThrough(world: RotationWorld, lane: Lane, row: Row): Promise<RowResult> {
  const old = valueIn(lane);
  if (row.isFirst) rmSync(`${lane.secretFile}.rotation`);
  const { kills, wrong } = await dieAndResume(world, lane, row);
  wrong.push(...(await leftWrong(world, lane, old)), ...(await journalWrong(world, lane, old)));
  return { row: nameOf(row), kills, wrong };
}

/** Plays another program through one row; it has no journal. */
export async function controlThrough(
  world: RotationWorld,
  lane: Lane,
  row: Row & Pick<Run, 'program'>,
): Promise<RowResult> {
  const old = valueIn(lane);
  const { kills, wrong } = await dieAndResume(world, lane, row);
  return { row: nameOf(row), kills, wrong: [...wrong, ...(await leftWrong(world, lane, old))] };
}

async function dieAndResume(
  world: RotationWorld,
  lane: Lane,
  { points, program }: Row & Pick<Run, 'program'>,
): Promise<{ kills: number; wrong: string[] }> {
  const wrong: string[] = [];
  let kills = 0;
  lane.mostSecrets = 1;
  for (const point of points) {
    const { signal, code, changes, output } = await world.rotate(lane, { point, ...(program && { program }) });
    // Two requests may run at once.
    if (signal === 'SIGKILL' && changes.slice(-2).includes(point.change)) kills += 1;
    else wrong.push(`not killed there: exit ${code}, ${signal}, ${changes.at(-1)}: ${output}`);
    wrong.push(...(await unsafeNow(world, lane)));
  }
  const { code, signal, output } = await world.rotate(lane, program && { program });
  if (code !== 0) wrong.push(`resumed: exit ${code} ${signal ?? ''}: ${output}`);
  return { kills, wrong };
}

/** Plays each item once, as many in parallel as there are lanes. */
export async function inLanes<T, R>(
  lanes: readonly Lane[],
  items: readonly T[],
  work: (lane: Lane, item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const waiting = items.values();
  await Promise.all(
    lanes.map(async (lane) => {
      for (const item of waiting) results.push(await work(lane, item));
    }),
  );
  return results;
}
