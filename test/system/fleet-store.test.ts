/** The store is an accelerator: whatever happens to it, callers are served, and it is used again when it is well. */
import { expect, it, onTestFinished } from 'vitest';
import { type StoreRelay, startStoreRelay } from '../support/fleet-relay.ts';
import { ask, createFleetWorld, type FleetWorld, type FleetWorldOptions } from '../support/fleet-world.ts';
import { type RedisOptions, type RedisServer, startRedis } from '../support/redis-server.ts';
import { describeWithRedis } from '../support/redis-worlds.ts';
import { until } from '../support/until.ts';

interface Stage {
  readonly redis: RedisServer;
  readonly relay: StoreRelay;
}

interface Row {
  readonly name: string;
  readonly redis?: RedisOptions;
  readonly fleet?: FleetWorldOptions['fleet'];
  /** Before the sidecar starts. */
  readonly atStart?: boolean;
  readonly harm: (stage: Stage) => unknown;
  readonly mend: (stage: Stage) => unknown;
  /** In the log, the metrics and the status. */
  readonly cause: string;
}

const PASSWORD = 'canary-store-password';
/** `fleet.timeout`, and what a busy machine adds to the time of this process. */
const MORE_MS = 250 + 250;

const deny =
  (rule: string) =>
  ({ redis }: Stage) =>
    redis.ask('acl', 'setuser', 'default', rule);
const permit = ({ redis }: Stage) => redis.ask('acl', 'setuser', 'default', '+@all');

/** Members reach another server at the same address from now on. */
async function replace(relay: StoreRelay, options: RedisOptions) {
  const other = await startRedis(options);
  onTestFinished(() => other[Symbol.asyncDispose]());
  relay.target = other.port;
  return other;
}

const ROWS: readonly Row[] = [
  {
    name: 'is down at the start',
    atStart: true,
    harm: ({ redis, relay }) => {
      relay.mode = 'reset';
      return redis.kill();
    },
    async mend({ redis, relay }) {
      await redis.restart();
      relay.mode = 'pass';
    },
    cause: 'unreachable',
  },
  { name: 'dies', harm: ({ redis }) => redis.kill(), mend: ({ redis }) => redis.restart(), cause: 'unreachable' },
  { name: 'is frozen', harm: ({ redis }) => redis.freeze(), mend: ({ redis }) => redis.thaw(), cause: 'timeout' },
  {
    name: 'is frozen at the start',
    atStart: true,
    harm: ({ redis }) => redis.freeze(),
    mend: ({ redis }) => redis.thaw(),
    cause: 'timeout',
  },
  {
    name: 'is two seconds away',
    harm: ({ relay }) => Object.assign(relay, { delayMs: 2000 }),
    mend: ({ relay }) => Object.assign(relay, { delayMs: 0 }),
    cause: 'timeout',
  },
  {
    name: 'resets each connection',
    harm({ relay }) {
      relay.mode = 'reset';
      relay.reset();
    },
    mend: ({ relay }) => Object.assign(relay, { mode: 'pass' }),
    cause: 'unreachable',
  },
  {
    name: 'has lost its connections, which nobody told the members',
    harm: ({ relay }) => Object.assign(relay, { mode: 'swallow' }),
    mend: ({ relay }) => Object.assign(relay, { mode: 'pass' }),
    cause: 'timeout',
  },
  {
    name: 'has no memory left',
    harm: async ({ redis }) => {
      await redis.ask('config', 'set', 'maxmemory-policy', 'noeviction');
      await redis.ask('config', 'set', 'maxmemory', '1');
    },
    mend: ({ redis }) => redis.ask('config', 'set', 'maxmemory', '0'),
    cause: 'full',
  },
  {
    name: 'has become a read-only replica',
    harm: ({ redis }) => redis.ask('replicaof', '127.0.0.1', '1'),
    mend: ({ redis }) => redis.ask('replicaof', 'no', 'one'),
    cause: 'read_only',
  },
  { name: 'denies EVALSHA', harm: deny('-evalsha'), mend: permit, cause: 'denied' },
  { name: 'denies what a script does', harm: deny('-zadd'), mend: permit, cause: 'denied' },
  { name: 'denies SUBSCRIBE', atStart: true, harm: deny('-subscribe'), mend: permit, cause: 'denied' },
  {
    name: 'has another password',
    atStart: true,
    fleet: (folder) => ({ password: { file: folder.write('store-password', PASSWORD) } }),
    harm: ({ redis }) => redis.ask('acl', 'setuser', 'default', 'resetpass', '>other'),
    mend: ({ redis }) => redis.ask('-a', 'other', '--no-auth-warning', 'acl', 'setuser', 'default', 'nopass'),
    cause: 'password',
  },
  {
    name: 'wants a password',
    atStart: true,
    harm: ({ redis }) => redis.ask('acl', 'setuser', 'default', 'resetpass', '>other'),
    mend: ({ redis }) => redis.ask('-a', 'other', '--no-auth-warning', 'acl', 'setuser', 'default', 'nopass'),
    cause: 'password',
  },
  {
    name: 'has no such database',
    atStart: true,
    fleet: (_folder, port) => ({ url: `redis://127.0.0.1:${port}/99` }),
    harm: () => undefined,
    mend: ({ relay }) => replace(relay, { args: ['--databases', '100'], cli: ['-n', '99'] }),
    cause: 'database',
  },
];

/** Where the limit is not the point, it is one that a busy machine keeps. */
const patientUnless = (cause: string) => (cause === 'timeout' ? {} : { timeout: '5s' });

async function setUp({ redis: redisOptions, fleet, atStart, harm, cause }: Row) {
  const redis = await startRedis(redisOptions);
  onTestFinished(() => redis[Symbol.asyncDispose]());
  const relay = await startStoreRelay(redis.port);
  onTestFinished(() => relay[Symbol.asyncDispose]());
  if (atStart) await harm({ redis, relay });
  const world = await createFleetWorld({
    port: relay.port,
    fleet: (folder, port) => ({ ...patientUnless(cause), ...fleet?.(folder, port) }),
  });
  onTestFinished(() => world[Symbol.asyncDispose]());
  return { redis, relay, world };
}

const up = (world: FleetWorld) => world.metric(world.member, 'fleet_up');
const lookups = async (world: FleetWorld) =>
  (await world.metric(world.member, 'fleet_operations_total', 'operation="acquire"')) ?? 0;

/** A caller when the token has expired. */
async function askCold(world: FleetWorld) {
  world.expire();
  return { member: await ask(world.member), alone: await ask(world.alone) };
}

describeWithRedis('a store that', () => {
  it.each(ROWS)('$name costs callers nothing but time, is named once, and is used again', async (row) => {
    const { redis, relay, world } = await setUp(row);
    let before = 0;
    if (!row.atStart) {
      await until('the store is usable', async () => (await up(world)) === 1);
      before = world.warnings(world.member).length;
      await row.harm({ redis, relay });
    }
    const { cause } = row;
    const spent: number[] = [];
    for (let call = 0; call < 5; call += 1) {
      const { member: mine, alone } = await askCold(world);
      expect([mine.status, alone.status]).toEqual([200, 200]);
      spent.push(mine.ms - alone.ms);
    }
    await until('the store is known to be broken', async () => (await up(world)) === 0);
    const asked = await lookups(world);
    for (let call = 0; call < 5; call += 1) expect((await askCold(world)).member.status).toBe(200);
    await until(
      'the cause is counted',
      async () => ((await world.metric(world.member, 'fleet_operations_total', `result="${cause}"`)) ?? 0) > 0,
    );
    process.stdout.write(`${row.name}: ${spent.map(Math.round).join(' ')} ms more than without\n`);
    expect(Math.max(...spent)).toBeLessThan(MORE_MS);
    // One may have been on its way.
    expect(await lookups(world)).toBeLessThanOrEqual(asked + 1);

    expect(world.warnings(world.member).slice(before)).toEqual([cause]);
    const mended = await row.mend({ redis, relay });
    await until('the store is used again', async () => (await up(world)) === 1, 60_000);
    world.expire();
    expect((await ask(world.member)).status).toBe(200);
    await until('it has the new token', async () => /^\d+:/.test(await storedToken(isServer(mended) ? mended : redis)));
    const log = world.member.rawLogs.join('');
    expect(log).not.toContain(PASSWORD);
    expect(log).not.toMatch(/Bearer [a-z]/);
  });
});

function isServer(thing: unknown): thing is RedisServer {
  return typeof thing === 'object' && thing !== null && 'thaw' in thing;
}

async function storedToken(redis: RedisServer): Promise<string> {
  const [name = ''] = (await redis.ask('keys', '*:token')).split('\n');
  return name === '' ? '' : await redis.ask('get', name);
}
