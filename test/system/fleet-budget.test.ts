/** Three sidecar processes with one budget, a real store, and an API that counts: the limit is of all of them together. */
import { describe, expect } from 'vitest';
import { startBudgetProcesses } from '../support/fleet-budget-processes.ts';
import { describeWithRedis } from '../support/redis-worlds.ts';

const LIMIT = 150;
const total = (counts: readonly number[]) => counts.reduce((sum, count) => sum + count, 0);
const print = (what: string, numbers: unknown) => process.stdout.write(`${what}: ${JSON.stringify(numbers)}\n`);

/** One after the other: a dozen processes that start at once take long. */
let turn: Promise<unknown> = Promise.resolve();
const start = (isFleet: boolean) => {
  const started = turn.then(() => startBudgetProcesses({ limit: LIMIT, isFleet }));
  turn = started.catch(() => undefined);
  return started;
};

// Each waits for its minutes: they wait together.
describeWithRedis('requestsPerMinute of a fleet', () => {
  describe.concurrent('is kept in each window of 60 s as the API counts it', { timeout: 400_000 }, (it) => {
    it('by three members under load, and by two when one was killed', async () => {
      await using world = await start(true);
      const statuses = await world.load(8, 70);
      print('three members: got, most, statuses', [world.got(), world.most(), [...statuses]]);
      expect([...statuses.keys()].sort()).toEqual([200, 429]);
      expect(world.most()).toBeLessThanOrEqual(LIMIT);
      for (const got of world.got()) expect(got).toBeGreaterThan(total(world.got()) / 6);
      expect(total(world.got())).toBeGreaterThan(0.9 * LIMIT);
      await world.members[2]?.[Symbol.asyncDispose]();
      const from = performance.now();
      await world.load(8, 70);
      print('two members: got, most', [world.got(from), world.most()]);
      expect(world.most()).toBeLessThanOrEqual(LIMIT);
      expect(total(world.got(from))).toBeGreaterThan(0.8 * LIMIT);
      // About one command a second of each that is in use, beside heartbeats.
      const info = await world.redis.ask('info', 'commandstats');
      const commands = Number(/cmdstat_evalsha:calls=(\d+)/.exec(info)?.[1]);
      print('commands in 140 s', commands);
      expect(commands).toBeLessThan(3 * 140 * 1.5);
    });

    it('by the share of each while the store is frozen, and by all together when it is back', async () => {
      await using world = await start(true);
      world.redis.freeze();
      const statuses = await world.load(8, 45);
      print('frozen: got, statuses', [world.got(), [...statuses]]);
      expect([...statuses.keys()].sort()).toEqual([200, 429]);
      expect(world.got()).toEqual([LIMIT / 3, LIMIT / 3, LIMIT / 3]);
      world.redis.thaw();
      await world.load(8, 75);
      print('back: got, most', [world.got(), world.most()]);
      expect(world.most()).toBeLessThanOrEqual(LIMIT);
      expect(total(world.got())).toBeGreaterThan(1.8 * LIMIT);
      for (const { metric } of world.members) expect(await metric('aritma_sidecar_fleet_up')).toBe(1);
    });

    it('although the store is emptied', async () => {
      await using world = await start(true);
      await world.load(4, 20);
      await world.redis.ask('flushall');
      await world.load(4, 60);
      print('emptied: got, most', [world.got(), world.most()]);
      // What each has begun is stated again; until all have, one with less than its share is given the rest of that.
      expect(world.most()).toBeLessThanOrEqual(1.1 * LIMIT);
      expect(total(world.got())).toBeGreaterThan(LIMIT);
    });

    it('but not where each counts alone: the control', async () => {
      await using world = await start(false);
      await world.load(15, 25);
      print('alone: got', world.got());
      expect(world.most()).toBe(3 * LIMIT);
    });
  });
});
