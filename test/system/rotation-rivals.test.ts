/** Several rotate the same secret at once, as processes: one does it, the others say who; whoever dies is replaced at once. */
import { hostname } from 'node:os';
import { describe, expect, it } from 'vitest';
import { rotateThrough } from '../support/kill-rows.ts';
import {
  createRotationWorld,
  journalWrong,
  type Lane,
  leftWrong,
  type RotationWorld,
  type Started,
  valueIn,
} from '../support/rotation-lanes.ts';
import { until } from '../support/until.ts';

// Tokens live long here: an answer that is held back until all have started must not be too old when it comes.
const RIVALS = 10;
const ROUNDS = 10;
/** Far below the minute after which a lock of another machine is taken for dead. */
const AT_ONCE_MS = 30_000;

/** Starts some that all wait for the same thing before their first request, which only the holder of the lock makes. */
async function startTogether(world: RotationWorld, lane: Lane, count: number) {
  const losers = Promise.withResolvers<void>();
  const rivals = Array.from({ length: count }, () => world.start(lane, { hold: () => losers.promise }));
  let ended = 0;
  for (const { ended: end } of rivals) {
    void end.then(() => {
      ended += 1;
      if (ended === count - 1) losers.resolve();
    });
  }
  const endings = await Promise.all(rivals.map(({ ended }) => ended));
  return rivals.map(({ child }, index) => ({ pid: child.pid, ...endings[index] }));
}

function lockedBy(output: string | undefined): unknown {
  const [, host, pid] =
    /ROTATION_LOCKED(?:.|\n)*?host["':= ]+([\w.-]+)(?:.|\n)*?pid["':= ]+(\d+)/.exec(output ?? '') ?? [];
  return { host, pid: Number(pid) };
}

describe('rotate, several at once', () => {
  it('is done by one of two; the other exits with 8 and names host and process', async () => {
    await using world = await createRotationWorld({ lanes: 1, tokenLifetimeS: 3600 });
    const [lane] = world.lanes as [Lane];
    const old = valueIn(lane);
    const [one, other] = await startTogether(world, lane, 2);
    const [winner, loser] = one?.code === 0 ? [one, other] : [other, one];
    expect([winner?.code, loser?.code]).toEqual([0, 8]);
    expect(lockedBy(loser?.output)).toEqual({ host: hostname(), pid: winner?.pid });
    expect(await leftWrong(world, lane, old)).toEqual([]);
    expect(await journalWrong(world, lane, old)).toEqual([]);
  });

  it('is done by one of ten, again and again, whether or not the one before them was killed', async () => {
    await using world = await createRotationWorld({ lanes: 1, tokenLifetimeS: 3600 });
    const [lane] = world.lanes as [Lane];
    for (let round = 0; round < ROUNDS; round += 1) {
      const old = valueIn(lane);
      const dies = round % 2 === 1;
      if (dies) await world.rotate(lane, { point: { change: 'POST secrets #1', when: 'after' } });
      const rivals = await startTogether(world, lane, RIVALS);
      const [winner, ...more] = rivals.filter(({ code }) => code === 0);
      const losers = rivals.filter((rival) => rival !== winner);
      expect(more).toEqual([]);
      expect(losers.map(({ code }) => code)).toEqual(Array.from({ length: RIVALS - 1 }, () => 8));
      for (const { output } of losers) expect(lockedBy(output)).toEqual({ host: hostname(), pid: winner?.pid });
      expect(lane.created).toBe(round + 1);
      expect(await leftWrong(world, lane, old)).toEqual([]);
      expect(await journalWrong(world, lane, old)).toEqual([]);
    }
  }, 300_000);

  it('is taken over at once when the holder was killed', async () => {
    await using world = await createRotationWorld({ lanes: 1, tokenLifetimeS: 3600 });
    const [lane] = world.lanes as [Lane];
    const startedAt = performance.now();
    const point = { change: 'POST secrets #1', when: 'after' } as const;
    expect((await rotateThrough(world, lane, { points: [point] })).wrong).toEqual([]);
    expect(performance.now() - startedAt).toBeLessThan(AT_ONCE_MS);
  });

  it('waits with another for the same overlap and does not begin again when the other has ended it', async () => {
    await using world = await createRotationWorld({ lanes: 1, tokenLifetimeS: 3600, rotation: { overlap: '8s' } });
    const [lane] = world.lanes as [Lane];
    const old = valueIn(lane);
    const isWaiting = (one: Started) => until('it waits', () => /"kind":"waiting"/.test(one.output()), 20_000);
    const one = world.start(lane);
    await isWaiting(one);
    const promoted = valueIn(lane);
    const other = world.start(lane);
    await isWaiting(other);
    other.child.kill('SIGSTOP');
    expect(await one.ended).toMatchObject({ code: 0 });
    other.child.kill('SIGCONT');
    const ending = await other.ended;
    expect(ending.code).toBe(0);
    expect(ending.output).toMatch(/"kind":"rotated"/);
    expect(valueIn(lane)).toBe(promoted);
    expect(lane.created).toBe(1);
    expect(await leftWrong(world, lane, old)).toEqual([]);
  });
});
