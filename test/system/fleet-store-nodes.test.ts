/** A store of several servers: one that fails is no more than a store that fails. */
import { expect, it, onTestFinished } from 'vitest';
import { ask, createFleetWorld, type FleetWorld } from '../support/fleet-world.ts';
import { describeWithRedis, startCluster, startSentinels } from '../support/redis-worlds.ts';
import { until } from '../support/until.ts';

/** What is broken here stays in the map of the others, and they go on. */
const LENIENT = ['--cluster-require-full-coverage', 'no', '--cluster-node-timeout', '15000'];

async function setUp(fleet: object): Promise<FleetWorld> {
  const world = await createFleetWorld({ port: 0, members: 2, fleet: () => ({ url: undefined, ...fleet }) });
  onTestFinished(() => world[Symbol.asyncDispose]());
  await untilUp(world);
  return world;
}

async function untilUp(world: FleetWorld): Promise<void> {
  for (const member of world.members)
    await until('the store is used', async () => (await world.metric(member, 'fleet_up')) === 1, 90_000);
}

/** Lets the tokens expire, has each member asked, and returns how many were fetched. */
async function fetched(world: FleetWorld): Promise<number> {
  const before = world.tokens.calls.length;
  world.expire();
  const all = await Promise.all(world.members.map((member) => ask(member)));
  expect(all.map(({ status }) => status)).toEqual([200, 200]);
  return world.tokens.calls.length - before;
}

describeWithRedis('a cluster', () => {
  it('serves callers while each of its nodes in turn is frozen or dead, and shares tokens again after that', async () => {
    await using cluster = await startCluster(false, LENIENT);
    const { servers } = cluster;
    const world = await setUp(cluster.fleet);
    await until('tokens are shared', async () => (await fetched(world)) === 1);
    for (const server of servers) {
      server.freeze();
      for (let round = 0; round < 3; round += 1) expect(await fetched(world)).toBeLessThanOrEqual(2);
      server.thaw();
      await untilUp(world);
      await until('tokens are shared again', async () => (await fetched(world)) === 1, 90_000);
    }
    for (const server of servers) {
      await server.kill();
      for (let round = 0; round < 3; round += 1) expect(await fetched(world)).toBeLessThanOrEqual(2);
      await server.restart();
      await until('tokens are shared again', async () => (await fetched(world)) === 1, 90_000);
    }
  });
});

describeWithRedis('a primary with sentinels', () => {
  it('is followed by its replica when it dies, which members use without a restart', async () => {
    await using store = await startSentinels(false);
    const [primary, replica] = store.servers;
    const world = await setUp(store.fleet);
    await until('tokens are shared', async () => (await fetched(world)) === 1);
    await primary.kill();
    for (let round = 0; round < 3; round += 1) expect(await fetched(world)).toBeLessThanOrEqual(2);
    await until('the replica is the primary', async () => (await replica.ask('role')).startsWith('master'), 60_000);
    await untilUp(world);
    await until('tokens are shared again', async () => (await fetched(world)) === 1, 90_000);
  });
});
