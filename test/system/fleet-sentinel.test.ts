// A fleet whose store is a primary with a replica, watched by three sentinels: the primary is killed while all members run.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Member, memberConfig, newFleetKey, openMember } from '../support/redis-member.ts';
import { describeWithRedis, type SentinelWorld, startSentinels } from '../support/redis-worlds.ts';
import { startTokenServer, type TokenServer } from '../support/token-server.ts';
import { until } from '../support/until.ts';

const MEMBERS = 3;
/** Longer than on a quiet network: the machine may be busy. */
const TIMEOUT = '2s';
/** The longest pause of a member between two looks whether the store is back, and some. */
const BACK_MS = 60_000;

describeWithRedis.each([
  { connection: 'plain', secure: false },
  { connection: 'TLS with a private CA', secure: true },
])('a fleet behind Sentinel, $connection', ({ secure }) => {
  let world: SentinelWorld;
  let identity: TokenServer;
  let members: Member[] = [];

  beforeAll(async () => {
    [world, identity] = await Promise.all([startSentinels(secure), startTokenServer()]);
    const fleet = { ...world.fleet, timeout: TIMEOUT };
    const loaded = memberConfig({ tokenEndpoint: identity.url, fleet }, newFleetKey());
    members = await Promise.all(Array.from({ length: MEMBERS }, () => openMember({ loaded })));
    await until('all members use the store', () => members.every(isUp));
  });
  afterAll(async () => {
    await Promise.all(members.map((member) => member.close()));
    await identity?.close();
    await world?.[Symbol.asyncDispose]();
  });

  const tokens = async () => {
    const got = await Promise.all(members.map((member) => member.source().get()));
    return got.map(({ authorization }) => authorization.reveal());
  };
  const isUp = ({ fleet }: Member) => fleet?.up === true;
  /** Every member's upstream refuses its current token, at once. */
  const renewAll = () =>
    Promise.all(
      members.map(async (member) => {
        const stale = await member.source().get();
        return (await member.source().renew(stale)).authorization.reveal();
      }),
    );

  it('shares one token', async () => {
    expect(await tokens()).toEqual(['Bearer token-1', 'Bearer token-1', 'Bearer token-1']);
    expect(identity.calls).toHaveLength(1);
    expect(members.map(({ fleet }) => fleet?.up)).toEqual([true, true, true]);
  });

  it('goes on while the primary is dead: the token stays in use, and a refused one is replaced', async () => {
    await world.servers[0].kill();
    expect(await tokens()).toEqual(['Bearer token-1', 'Bearer token-1', 'Bearer token-1']);
    const [member] = members;
    const stale = await member?.source().get();
    if (!member || !stale) throw new Error('no member');
    expect((await member.source().renew(stale)).authorization.reveal()).toBe('Bearer token-2');
    expect(identity.calls).toHaveLength(2);
  });

  it('shares again when the replica has taken over', async () => {
    const [, replica] = world.servers;
    await until(
      'the replica is the primary',
      async () => (await replica?.ask('INFO', 'replication').catch(() => ''))?.includes('role:master') === true,
    );
    await until('all members use the new primary', () => members.every(isUp), BACK_MS);
    const before = identity.calls.length;
    const renewed = await renewAll();
    expect(new Set(renewed).size).toBe(1);
    expect(identity.calls.length - before).toBe(1);
    // One to replace the first token, one while there was no store.
    expect(identity.calls.length - 1).toBeLessThanOrEqual(1 + 2);
  });
});
