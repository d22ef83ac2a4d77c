// A fleet whose store is a cluster of three nodes without replicas: a node is killed and comes back.
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Member, memberConfig, openMember } from '../support/redis-member.ts';
import type { RedisServer } from '../support/redis-server.ts';
import { describeWithRedis, type StoreWorld, startCluster, untilWhole } from '../support/redis-worlds.ts';
import { startTokenServer, type TokenServer } from '../support/token-server.ts';
import { until } from '../support/until.ts';

const SCOPES = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
/** Always the same, so that the names of the entries are, and the slots. */
const KEY = 'A'.repeat(43);
/** Longer than on a quiet network: the machine may be busy. */
const TIMEOUT = '5s';
/** The longest pause of a member between two looks whether the store is back, and some. */
const BACK_MS = 60_000;
/** More than a member waits for further news. */
const HEARD_MS = 500;

describeWithRedis.each([
  { connection: 'plain', secure: false },
  { connection: 'TLS with a private CA', secure: true },
])('a fleet with a cluster, $connection', ({ secure }) => {
  let world: StoreWorld;
  let identity: TokenServer;
  let members: Member[] = [];

  beforeAll(async () => {
    [world, identity] = await Promise.all([startCluster(secure), startTokenServer()]);
    const fleet = { ...world.fleet, timeout: TIMEOUT };
    const loaded = memberConfig({ tokenEndpoint: identity.url, fleet, scopes: SCOPES }, KEY);
    members = await Promise.all([openMember({ loaded }), openMember({ loaded }), openMember({ loaded })]);
    await until('all members use the store', areUp);
  });
  afterAll(async () => {
    await Promise.all(members.map((member) => member.close()));
    await identity?.close();
    await world?.[Symbol.asyncDispose]();
  });

  const areUp = () => members.every(({ fleet }) => fleet?.up === true);
  const tokensOf = async (route: number) => {
    const got = await Promise.all(members.map((member) => member.source(route).get()));
    return new Set(got.map(({ authorization }) => authorization.reveal()));
  };
  const renewAll = async (route: number) => {
    const renewed = await Promise.all(
      members.map(async (member) => member.source(route).renew(await member.source(route).get())),
    );
    return new Set(renewed.map(({ authorization }) => authorization.reveal()));
  };
  const routes = SCOPES.map((_, route) => route);
  const tokensIn = async (node: RedisServer) =>
    (await node.ask('KEYS', '*:token')).split('\n').filter((name) => name !== '').length;

  it('shares one token for each scope, and the tokens are on different nodes', async () => {
    const all = await Promise.all(routes.map(tokensOf));
    expect(all.map(({ size }) => size)).toEqual(routes.map(() => 1));
    expect(identity.calls).toHaveLength(SCOPES.length);
    await until('every token is in the store', async () => {
      const counts = await Promise.all(world.servers.map(tokensIn));
      return counts.reduce((sum, count) => sum + count, 0) === SCOPES.length;
    });
    const counts = await Promise.all(world.servers.map(tokensIn));
    expect(counts.filter((count) => count > 0).length).toBeGreaterThanOrEqual(2);
  });

  it('goes on while a node is dead: tokens stay in use, and refused ones are replaced', async () => {
    await world.servers[0].kill();
    const before = await Promise.all(routes.map(tokensOf));
    expect(before.map(({ size }) => size)).toEqual(routes.map(() => 1));
    const renewed = await Promise.all(routes.map(renewAll));
    expect(renewed.map(({ size }) => size).every((size) => size >= 1 && size <= members.length)).toBe(true);
    const kept = before.flatMap((tokens, route) => [...tokens].filter((token) => renewed[route]?.has(token)));
    expect(kept).toEqual([]);
  });

  it('shares again when the node is back', async () => {
    await world.servers[0].restart();
    await Promise.all(world.servers.map(untilWhole));
    await until('all members use the store', areUp, BACK_MS);
    // A member learns only from a command for its slots that the node is back.
    await until(
      'one token request serves all members, for each scope',
      async () => {
        // A member that was late takes the newest token over when it hears of it, unless it is asked before.
        await pause(HEARD_MS);
        const before = identity.calls.length;
        const renewed = await Promise.all(routes.map(renewAll));
        return renewed.every(({ size }) => size === 1) && identity.calls.length - before === SCOPES.length;
      },
      BACK_MS,
    );
  });
});
