// The key that seals the store is replaced while all members run, in any order.
import { describe, expect, it } from 'vitest';
import { FleetWorld, newKey } from '../support/fleet-members.ts';

const texts = (world: FleetWorld) => [...new Set(world.tokens())];

describe('members with keys [old], then [new, old], then [new]', () => {
  const stages = (world: FleetWorld, next = newKey()) => [[world.key], [next, world.key], [next]];

  it.each([
    ['one after the other', [0, 1, 1, 0, 1, 0, 1, 1, 2, 1, 2, 2]],
    ['in another order', [0, 0, 0, 1, 0, 1, 2, 1, 2, 1]],
    ['all at once', [0, 1, 1, 1, 1, 2, 2, 2, 2]],
  ])('share one token, with one token request: %s', async (_, order) => {
    const world = new FleetWorld();
    const keys = stages(world);
    for (const stage of order) await world.startWarm(1, () => ({ keys: keys[stage] ?? [] }));
    expect(world.requests).toHaveLength(1);
    expect(texts(world)).toEqual(['Bearer planted-token-1']);
    expect(world.members.flatMap(({ rejected }) => rejected)).toEqual([]);
  });

  it('that are restarted together share it too', async () => {
    const world = new FleetWorld();
    await world.startWarm(1);
    const keys = stages(world);
    await world.startWarm(100, (index) => ({ keys: keys[index % 2] ?? [] }));
    expect(world.requests).toHaveLength(1);
  });

  it('give a token that was taken over the life that remains', async () => {
    const world = new FleetWorld();
    await world.startWarm(1);
    await world.advance(1_800_000);
    const keys = stages(world);
    await world.startWarm(2, () => ({ keys: keys[1] ?? [] }));
    const until = world.members.map(({ source }) => source.snapshot().expiresAt ?? 0);
    expect(Math.max(...until)).toBeLessThanOrEqual(world.issued.get('Bearer planted-token-1')?.until ?? 0);
    expect(Math.min(...until)).toBeGreaterThan(Math.max(...until) - 100);
    expect(world.model.pttl(world.place('token', world.members[1]))).toBeLessThanOrEqual(1_800_000);
  });

  it('only look under the old name: what is there stays, and no lock is taken there', async () => {
    const world = new FleetWorld();
    const [old] = await world.startWarm(1);
    const before = [world.model.get(world.place('token', old)), world.model.get(world.place('generation', old))];
    await world.startWarm(3, () => ({ keys: [newKey(), world.key] }));
    const after = [world.model.get(world.place('token', old)), world.model.get(world.place('generation', old))];
    expect(after).toEqual(before);
    expect(world.model.get(world.place('lock', old))).toBeUndefined();
  });

  it('fetch instead when the token is refused, although one is under the old name', async () => {
    const world = new FleetWorld();
    await world.startWarm(1);
    const keys = stages(world);
    const [member, other] = await world.startWarm(2, () => ({ keys: keys[1] ?? [] }));
    if (member?.source.token) void member.source.renew(member.source.token);
    await world.advance(1000);
    expect(world.requests).toHaveLength(2);
    expect(world.tokens([member, other] as never[])).toEqual(['Bearer planted-token-2', 'Bearer planted-token-2']);
  });

  it('refresh once for each first key, and take a fresh one of the others over', async () => {
    const world = new FleetWorld();
    const keys = stages(world);
    await world.startWarm(1);
    await world.startWarm(5, () => ({ keys: keys[1] ?? [] }));
    for (let minute = 0; minute < 120; minute += 1) {
      await world.advance(60_000);
      expect(world.tokens()).not.toContain(undefined);
    }
    expect(world.requests.length).toBeLessThanOrEqual(1 + 2 * 2);
  });
});

describe('members with keys [old] and [new] without a time with both', () => {
  it('fetch one each: they share nothing, and refuse nothing', async () => {
    const world = new FleetWorld();
    await world.startWarm(1);
    await world.startWarm(1, () => ({ keys: [newKey()] }));
    expect(world.requests).toHaveLength(2);
    expect(world.members.flatMap(({ rejected }) => rejected)).toEqual([]);
  });
});
