// Whatever is in the store: it is refused before it is used, counted by reason, and overwritten by the next fetch.
import { describe, expect, it } from 'vitest';
import { createSealer } from '../../src/fleet/seal.ts';
import { holds } from '../support/fleet-holds.ts';
import { type FleetWorld, type Kind, newKey, FleetWorld as World } from '../support/fleet-members.ts';

const CONTENT = { authorization: 'Bearer planted-by-somebody', lifetimeS: 3600 };

type Plant = (world: FleetWorld, name: string) => Promise<string> | string;

const now = (world: FleetWorld) => String(world.clock.now().wallMs);
const sealed = async (world: FleetWorld, name: string, content: object = CONTENT, key = world.key) =>
  `${now(world)}:${await createSealer([key]).seal({ name, generation: now(world) }, content)}`;

/** How the value gets there, and the reason that is counted by each member that saw it. */
const ROWS: Readonly<Record<string, readonly [plant: Plant, reason: string]>> = {
  garbage: [() => 'garbage', 'format'],
  'garbage with a generation': [(world) => `${now(world)}:garbage`, 'format'],
  '10 MB': [(world) => `${now(world)}:${'x'.repeat(10_000_000)}`, 'format'],
  'a generation near 1e15': [() => '999999999999999:garbage', 'format'],
  'a generation of 400 digits': [() => `${'9'.repeat(400)}:garbage`, 'format'],
  'a generation that is a little in the future': [(world) => `${Number(now(world)) + 3_600_000}:garbage`, 'format'],
  'a value of another name': [(world) => sealed(world, 'other'), 'name'],
  'a value of an older generation': [
    async (world, name) => {
      const old = await createSealer([world.key]).seal({ name, generation: '7' }, CONTENT);
      return `${now(world)}:${old}`;
    },
    'generation',
  ],
  'a value sealed with an unknown key': [(world, name) => sealed(world, name, CONTENT, newKey()), 'key'],
  'a JWE of nothing that is a token': [(world, name) => sealed(world, name, { a: 1 }), 'content'],
  'a JWE with a header line in it': [
    (world, name) => sealed(world, name, { ...CONTENT, authorization: 'Bearer x\r\nx: y' }),
    'content',
  ],
  'a JWE with a lifetime of a year': [(world, name) => sealed(world, name, { ...CONTENT, lifetimeS: 3e7 }), 'content'],
};

/** Warm members, a planted value, a cold member; then all refresh. */
async function planted(kind: Kind, plant: Plant) {
  const world = new World(kind);
  const [first] = await world.startWarm(2);
  world.model.set(world.place('token'), await plant(world, first?.shared.name ?? ''), 3_600_000);
  const [cold] = await world.startWarm(1);
  const token = cold?.source.token?.authorization.reveal();
  await world.advance(3_600_000);
  return {
    isOwn: token === 'Bearer planted-token-2',
    rejected: [...new Set(world.members.flatMap((member) => member.rejected))],
    // It has shared one since.
    tokens: new Set(world.tokens()).size,
    requests: world.requests.length,
  };
}

describe('a token in the store', () => {
  for (const [what, [plant, reason]] of Object.entries(ROWS))
    holds(`that is ${what} is refused as "${reason}" and overwritten`, (kind) => planted(kind, plant), {
      ...{ isOwn: true, rejected: [reason], tokens: 1, requests: 3 },
    });

  it('without an expiry is refused', async () => {
    const world = new World();
    const [first] = await world.startWarm(1);
    world.model.set(world.place('token'), await sealed(world, first?.shared.name ?? ''));
    const [cold] = await world.startWarm(1);
    expect([cold?.rejected, world.requests.length]).toEqual([['content'], 2]);
  });

  it('that another member has put there last is used even if the store counts its life too long', async () => {
    const world = new World();
    const [first] = await world.startWarm(1);
    world.model.set(world.place('token'), await sealed(world, first?.shared.name ?? ''), 86_400_000);
    const [cold] = await world.startWarm(1);
    const { expiresAt = 0, lastSuccessAt = 0 } = cold?.source.snapshot() ?? {};
    expect(expiresAt - lastSuccessAt).toBeLessThanOrEqual(3_600_000);
  });
});

describe('a token that is nearly over when a member takes it from the store', () => {
  it('is sent until 30 s before it expires, as by the member that has fetched it', async () => {
    const world = new World();
    const [first] = await world.startWarm(1);
    const token = 'Bearer planted-token-1';
    const leftMs = () => (world.issued.get(token)?.until ?? 0) - world.clock.now().wallMs;
    world.endpoint = 'down';
    await world.advance(leftMs() - 60_000);
    const [cold] = await world.startWarm(1);
    expect(world.tokens()).toEqual([token, token]);
    await world.advance(leftMs() - 29_000);
    expect([first, cold].map((member) => member?.source.snapshot().state)).toEqual(['expired', 'expired']);
  });
});

describe('other keys in the store', () => {
  const disturbed = async (what: 'token' | 'lock' | 'generation', value: string | Map<string, string>, px?: number) => {
    const world = new World();
    const [first] = await world.startWarm(2);
    world.model.set(world.place(what), value, px);
    void first?.source.refresh();
    await world.advance(10_000);
    const before = world.requests.length;
    void first?.source.refresh();
    await world.advance(2000);
    return { before, after: world.requests.length, tokens: new Set(world.tokens()).size };
  };

  it.each(['token', 'generation'] as const)('of another type, as the %s, changes nothing', async (what) => {
    expect(await disturbed(what, new Map())).toEqual({ before: 2, after: 3, tokens: 1 });
  });

  it.each([
    ['without expiry', undefined],
    ['for a day', 86_400_000],
  ])('a lock %s ends after the time of one attempt', async (_, px) => {
    expect(await disturbed('lock', 'somebody', px)).toEqual({ before: 2, after: 3, tokens: 1 });
  });

  it('a lock of another type ends too', async () => {
    expect(await disturbed('lock', new Map())).toEqual({ before: 2, after: 3, tokens: 1 });
  });

  it.each(['999999999999999', '1e300', '-1', 'x', String(Date.UTC(2026, 0, 1) + 80_000_000)])(
    'generation %s does not stop the members from sharing',
    async (generation) => {
      expect(await disturbed('generation', generation)).toEqual({ before: 2, after: 3, tokens: 1 });
    },
  );

  it('a verdict that no member has sealed is not believed', async () => {
    const world = new World();
    await world.startWarm(1, () => ({ secret: 'wrong', state: { network: 'up' } }));
    const [key = ''] = world.model.keys().filter((one) => one.includes('verdict'));
    world.model.set(key, `${Number(now(world)) + 1}:x.y`, 30_000);
    const [other] = await world.startWarm(1, () => ({ secret: 'wrong' }));
    expect([other?.rejected, world.requests.length]).toEqual([['format'], 2]);
  });

  it('a hundred news a second cost a member five looks a second at most', async () => {
    const world = new World();
    const [member] = await world.startWarm(1);
    const before = world.commands;
    for (let news = 0; news < 100; news += 1) {
      member?.shared.onNews();
      await world.advance(10);
    }
    expect(world.commands - before).toBeLessThanOrEqual(5);
  });

  it('a hundred news a second cost a waiting member fifty looks a second at most', async () => {
    const world = new World();
    world.endpointMs = 4000;
    const [, waiting] = world.start(2);
    await world.advance(10);
    const before = world.commands;
    for (let news = 0; news < 500; news += 1) {
      waiting?.shared.onNews();
      await world.advance(2);
    }
    expect(world.commands - before).toBeLessThanOrEqual(51);
  });
});
