/** A store of several servers: one that fails is no more than a store that fails. */
import { expect, it, onTestFinished } from 'vitest';
import { describeWithRedis, type RedisServer, startRedis } from '../support/fleet-redis.ts';
import { ask, createFleetWorld, type FleetWorld } from '../support/fleet-world.ts';
import { createFolder } from '../support/folder.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/until.ts';

async function start(args: readonly string[], port?: number): Promise<RedisServer> {
  const server = await startRedis({ args, ...(port !== undefined && { port }) });
  onTestFinished(() => server[Symbol.asyncDispose]());
  return server;
}

async function startCluster(): Promise<readonly RedisServer[]> {
  const args = [
    '--cluster-enabled',
    'yes',
    '--cluster-config-file',
    'nodes.conf',
    '--cluster-require-full-coverage',
    'no',
  ];
  const servers: RedisServer[] = [];
  for (const from of [0, 5462, 10_923]) {
    // The bus is on the port + 10000.
    const server = await start([...args, '--cluster-port', String(await freePort())]);
    await server.command('cluster', 'addslotsrange', String(from), String(Math.min(from + 5461, 16_383)));
    servers.push(server);
  }
  const [first] = servers;
  for (const { port } of servers.slice(1)) {
    const other = servers.find((server) => server.port === port);
    const bus = (await other?.command('config', 'get', 'cluster-port'))?.split('\n')[1] ?? '';
    await first?.command('cluster', 'meet', '127.0.0.1', String(port), bus);
  }
  for (const server of servers)
    await until('the cluster is complete', async () => {
      const info = await server.command('cluster', 'info');
      return (
        info.includes('cluster_state:ok') &&
        info.includes('cluster_known_nodes:3') &&
        info.includes('cluster_slots_ok:16384')
      );
    });
  return servers;
}

async function setUp(port: number, fleet: object): Promise<FleetWorld> {
  const world = await createFleetWorld({ port, members: 2, fleet: () => ({ url: undefined, ...fleet }) });
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
    const servers = await startCluster();
    const world = await setUp(0, { nodes: servers.map(({ port }) => `127.0.0.1:${port}`) });
    await until('tokens are shared', async () => (await fetched(world)) === 1);
    for (const server of servers) {
      server.freeze();
      for (let round = 0; round < 3; round += 1) expect(await fetched(world)).toBeLessThanOrEqual(2);
      server.wake();
      await untilUp(world);
      await until('tokens are shared again', async () => (await fetched(world)) === 1, 90_000);
    }
    for (const server of servers) {
      await server.kill();
      for (let round = 0; round < 3; round += 1) expect(await fetched(world)).toBeLessThanOrEqual(2);
      await server.start();
      await until('tokens are shared again', async () => (await fetched(world)) === 1, 90_000);
    }
  });
});

describeWithRedis('a primary with sentinels', () => {
  it('is followed by its replica when it dies, which members use without a restart', async () => {
    const primary = await start([]);
    const replica = await start(['--replicaof', '127.0.0.1', String(primary.port)]);
    await until('the replica follows', async () =>
      (await replica.command('info', 'replication')).includes('link_status:up'),
    );
    const sentinelPort = await freePort();
    const folder = createFolder();
    onTestFinished(() => folder[Symbol.dispose]());
    const file = folder.write(
      'sentinel.conf',
      [
        `sentinel monitor main 127.0.0.1 ${primary.port} 1`,
        'sentinel down-after-milliseconds main 1000',
        'sentinel failover-timeout main 2000',
        '',
      ].join('\n'),
    );
    const sentinel = await startRedis({ port: sentinelPort, sentinel: file });
    onTestFinished(() => sentinel[Symbol.asyncDispose]());
    await until('the sentinel knows the replica', async () =>
      (await sentinel.command('sentinel', 'replicas', 'main')).includes(String(replica.port)),
    );
    const world = await setUp(0, { sentinel: { name: 'main', nodes: [`127.0.0.1:${sentinelPort}`] } });
    await until('tokens are shared', async () => (await fetched(world)) === 1);
    await primary.kill();
    for (let round = 0; round < 3; round += 1) expect(await fetched(world)).toBeLessThanOrEqual(2);
    await until('the replica is the primary', async () => (await replica.command('role')).startsWith('master'), 60_000);
    await untilUp(world);
    await until('tokens are shared again', async () => (await fetched(world)) === 1, 90_000);
  });
});
