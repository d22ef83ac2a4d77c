/** What befalls a store that many use at once: frozen when their tokens expire, emptied, reached through TLS. */
import { expect, it, onTestFinished } from 'vitest';
import { createAuthority, describeWithOpenssl, makeCertificates } from '../support/certificates.ts';
import { startNaiveFleet } from '../support/fleet-naive.ts';
import { startStoreRelay } from '../support/fleet-relay.ts';
import {
  ask,
  createFleetWorld,
  type FleetWorld,
  type FleetWorldOptions,
  startCallers,
} from '../support/fleet-world.ts';
import { type RedisOptions, type RedisTls, startRedis } from '../support/redis-server.ts';
import { describeWithRedis } from '../support/redis-worlds.ts';
import { until } from '../support/until.ts';

/** `fleet.timeout`, and what a busy machine adds to the time of this process. */
const MORE_MS = 250 + 250;

interface SetUp {
  readonly redis?: RedisOptions;
  readonly fleet?: FleetWorldOptions['fleet'];
}

/** Where the limit is not the point, it is one that a busy machine keeps. */
const PATIENT = { timeout: '5s' };

async function setUp(members: number, { fleet, redis: options }: SetUp = {}) {
  const redis = await startRedis(options);
  onTestFinished(() => redis[Symbol.asyncDispose]());
  const relay = await startStoreRelay(redis.port);
  onTestFinished(() => relay[Symbol.asyncDispose]());
  const world = await createFleetWorld({ port: relay.port, members, ...(fleet && { fleet }) });
  onTestFinished(() => world[Symbol.asyncDispose]());
  return { redis, relay, world };
}

async function untilUp(world: FleetWorld): Promise<void> {
  for (const member of world.members)
    await until('the store is used', async () => (await world.metric(member, 'fleet_up')) === 1, 60_000);
}

describeWithRedis('a store that is frozen under load at the moment when all tokens expire', () => {
  it('fails no call of its members, while the callers of a naive shared cache get no response', async () => {
    const { redis, world } = await setUp(3);
    await untilUp(world);
    const naive = await startNaiveFleet({
      port: redis.port,
      upstream: world.upstream.url,
      tokenEndpoint: world.tokens.url,
    });
    onTestFinished(() => naive[Symbol.asyncDispose]());
    const shared = world.members.map((member) => startCallers(member));
    const [alone, careless] = [startCallers(world.alone), startCallers(naive)];
    const all = [...shared, alone, careless];
    await until('every caller is served', () => all.every(({ served }) => served > 20));
    const before = world.tokens.calls.length;
    const warned = world.members.map((member) => world.warnings(member).length);

    redis.freeze();
    world.expire();
    await until('the callers of the naive cache have waited in vain', () => careless.failed > 0);
    const [duringFreeze, servedInFreeze] = [world.tokens.calls.length - before, shared.map(({ served }) => served)];
    redis.thaw();
    await untilUp(world);
    await Promise.all(all.map((callers) => callers.stop()));

    const slowest = shared.map(({ slowestMs }) => Math.round(slowestMs));
    process.stdout.write(
      `frozen: members served ${shared.map(({ served }) => served).join(' ')} (${servedInFreeze.join(' ')} before the end), ` +
        `failed ${shared.map(({ failed }) => failed).join(' ')}, slowest ${slowest.join(' ')} ms; ` +
        `alone ${Math.round(alone.slowestMs)} ms; naive failed ${careless.failed}; ${duringFreeze} token requests\n`,
    );
    expect(shared.map(({ failed }) => failed)).toEqual([0, 0, 0]);
    expect(careless.failed).toBeGreaterThan(0);
    expect(Math.max(...slowest) - alone.slowestMs).toBeLessThan(MORE_MS);
    // One for each member, and one of the sidecar that has no fleet.
    expect(duringFreeze).toBe(4);
    const warnings = world.members.map((member, index) => world.warnings(member).slice(warned[index]));
    expect(warnings).toEqual([['timeout'], ['timeout'], ['timeout']]);
  });

  it('leaves no lock of a command that was given up: who is cold when it wakes is served at once', async () => {
    const { redis, world } = await setUp(2);
    await untilUp(world);
    await redis.ask('flushall');
    redis.freeze();
    world.expire();
    expect((await ask(world.member)).status).toBe(200);
    const joining = world.join();
    redis.thaw();
    const newcomer = await joining;
    const { status, ms } = await ask(newcomer);
    process.stdout.write(`cold after the freeze: ${Math.round(ms)} ms\n`);
    expect(status).toBe(200);
    expect(ms).toBeLessThan(1000 + MORE_MS);
  });
});

describeWithRedis('a store that forgets while all run', () => {
  it.each([
    ['its scripts', ['script', 'flush']],
    ['everything', ['flushall']],
  ])('%s: nobody notices, and the next refresh is shared again', async (_what, command) => {
    const { redis, world } = await setUp(3, { fleet: () => PATIENT });
    await untilUp(world);
    const callers = world.members.map((member) => startCallers(member));
    await until('every caller is served', () => callers.every(({ served }) => served > 20));
    for (let round = 0; round < 3; round += 1) {
      await redis.ask(...command);
      const [before, served] = [world.tokens.calls.length, callers.map((one) => one.served)];
      world.expire();
      await until('each has served with the new token', () =>
        callers.every((one, index) => one.served > (served[index] ?? 0) + 20),
      );
      expect(world.tokens.calls.length - before).toBe(1);
    }
    await Promise.all(callers.map((one) => one.stop()));
    expect(callers.map(({ failed }) => failed)).toEqual([0, 0, 0]);
    expect(world.members.flatMap((member) => world.warnings(member))).toEqual([]);
  });
});

const certificates = makeCertificates((authority) => authority.issue('store', 'IP:127.0.0.1'));

describeWithOpenssl('a store with TLS', () => {
  describeWithRedis('of a private CA', () => {
    /** A server that wants a client certificate of its CA. */
    const serverOf = (tls: RedisTls): RedisOptions => ({ tls: { ...tls, wantsClient: true } });
    const withTls =
      (tls: object): NonNullable<FleetWorldOptions['fleet']> =>
      (_folder, port) => ({ url: `rediss://127.0.0.1:${port}`, tls, ...PATIENT });
    const issued = () => ({ caFile: certificates().authority.caFile, ...certificates() });

    it('is used when the CA is named and the client has a certificate, and tokens are shared', async () => {
      const { caFile, certFile, keyFile } = issued();
      const fleet = withTls({ ca: caFile, cert: certFile, key: keyFile });
      const { world } = await setUp(2, { redis: serverOf(issued()), fleet });
      await untilUp(world);
      const before = world.tokens.calls.length;
      world.expire();
      expect(await Promise.all(world.members.map(async (one) => (await ask(one)).status))).toEqual([200, 200]);
      expect(world.tokens.calls.length - before).toBe(1);
    });

    it('is left alone while its certificate is of another CA, and used when it has one of the right CA', async () => {
      const { caFile, certFile, keyFile } = issued();
      const other = createAuthority(certificates().folder, 'other');
      const redis = serverOf({ caFile: other.caFile, ...other.issue('foreign', 'IP:127.0.0.1') });
      const fleet = withTls({ ca: caFile, cert: certFile, key: keyFile });
      const { relay, world } = await setUp(1, { redis, fleet });
      await untilRefused(world);
      const good = await startRedis(serverOf(issued()));
      onTestFinished(() => good[Symbol.asyncDispose]());
      relay.target = good.port;
      await untilUp(world);
      expect(world.warnings(world.member)).toEqual(['tls']);
    });

    it('is left alone when it wants a client certificate and there is none', async () => {
      const { world } = await setUp(1, { redis: serverOf(issued()), fleet: withTls({ ca: issued().caFile }) });
      await untilRefused(world);
    });
  });
});

/** Tried, and tried again, and named once. */
async function untilRefused(world: FleetWorld): Promise<void> {
  for (let call = 0; call < 3; call += 1) {
    world.expire();
    expect((await ask(world.member)).status).toBe(200);
  }
  const tried = () => world.metric(world.member, 'fleet_operations_total', 'result="tls"');
  await until('it was tried again', async () => ((await tried()) ?? 0) >= 2);
  expect(world.warnings(world.member)).toEqual(['tls']);
  expect(await world.metric(world.member, 'fleet_up')).toBe(0);
}
