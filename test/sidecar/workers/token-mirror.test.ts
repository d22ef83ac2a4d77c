// Copies of tokens in a worker: valid by both clocks or not used, asked for once, and refused once.
import { describe, expect, it } from 'vitest';
import type { LookupResult } from '../../../src/oauth/token.ts';
import type { Reply, WireToken } from '../../../src/sidecar/workers/protocol.ts';
import { RemoteTokens } from '../../../src/sidecar/workers/token-mirror.ts';
import { createFakeClock } from '../../support/clock.ts';

const KEY = { credential: 'default', scope: 'api', audience: undefined, resource: undefined };

function setUp(token: Partial<WireToken> | undefined) {
  const clock = createFakeClock();
  const asked: { readonly refused: number | undefined; readonly answer: (answer: Reply) => Promise<void> }[] = [];
  const lookups: LookupResult[] = [];
  const wire = (serial: number, fields: Partial<WireToken> = {}): WireToken => ({
    ...{ serial, authorization: `Bearer token-${serial}`, sinceWallMs: clock.now().wallMs, ageMs: 0 },
    ...{ refreshAfterMs: 30_000, usableForMs: 60_000, expiresAt: 0, ...fields },
  });
  const tokens = new RemoteTokens({
    key: KEY,
    token: token && wire(1, token),
    ask(refused) {
      const { promise, resolve } = Promise.withResolvers<Reply>();
      asked.push({ refused, answer: (answer) => clock.advance(0).then(() => resolve(answer)) });
      return promise;
    },
    onLookup: (result) => void lookups.push(result),
    waitMs: 10_000,
    clock,
  });
  return { clock, asked, lookups, wire, tokens };
}

type World = ReturnType<typeof setUp>;

/** What a caller comes to: the token, or the code and the result of the failure. */
async function outcome({ tokens }: World): Promise<string> {
  try {
    return (await tokens.get()).authorization.reveal();
  } catch (error) {
    const { code, extras } = error as { code: string; extras: { fields?: Record<string, unknown> } };
    return `${code} ${String(extras.fields?.['result'])}`;
  }
}

const refusal = (result: string, waited: boolean): Reply => ({
  ok: false,
  waited,
  error: { code: 'TOKEN_UNAVAILABLE', retryAfterS: 7, fields: { credential: 'default', result } },
});

describe('a copy of a token', () => {
  it('is used without asking until it is not valid any more, by what was left of it when it was sent', async () => {
    const world = setUp({ ageMs: 20_000 });
    expect(await outcome(world)).toBe('Bearer token-1');
    await world.clock.advance(10_000);
    expect(await outcome(world)).toBe('Bearer token-1');
    await world.clock.advance(29_999);
    expect(await outcome(world)).toBe('Bearer token-1');
    expect([world.lookups, world.asked.length]).toEqual([['hit', 'early', 'early'], 0]);
    await world.clock.advance(1);
    void outcome(world);
    expect(world.asked).toHaveLength(1);
  });

  it.each<[string, (world: World) => void]>([
    ['the machine slept', ({ clock }) => clock.sleep(60_000)],
    ['somebody set the clock forward', ({ clock }) => clock.jumpWall(60_000)],
  ])('is not used when %s, whatever the other clock says', (_case, happen) => {
    const world = setUp({});
    happen(world);
    void outcome(world);
    expect(world.asked).toHaveLength(1);
  });

  it('is judged by the monotonic clock when somebody sets the wall clock back', async () => {
    const world = setUp({ ageMs: 30_000 });
    world.clock.jumpWall(-3_600_000);
    await world.clock.advance(30_000);
    void outcome(world);
    expect(world.asked).toHaveLength(1);
  });

  it('is replaced by a later one, never by an earlier one that was overtaken', async () => {
    const world = setUp(undefined);
    world.tokens.accept(world.wire(3));
    world.tokens.accept(world.wire(2));
    expect(await outcome(world)).toBe('Bearer token-3');
  });

  it('is not used once the engine says so', () => {
    const world = setUp({});
    world.tokens.accept(undefined);
    void outcome(world);
    expect(world.asked).toHaveLength(1);
  });
});

describe('without a token', () => {
  it('a crowd makes one question; a token that is sent to all serves them, each counted once', async () => {
    const world = setUp(undefined);
    const crowd = Array.from({ length: 1000 }, () => outcome(world));
    expect(world.asked).toHaveLength(1);
    world.tokens.accept(world.wire(1));
    await world.asked[0]?.answer({ ok: true, token: world.wire(1) });
    expect(new Set(await Promise.all(crowd))).toEqual(new Set(['Bearer token-1']));
    // The first of them is counted where it was asked.
    expect(world.lookups).toEqual(Array(999).fill('join'));
  });

  it.each([
    ['waited for', true, 'join'],
    ['known before', false, 'miss'],
  ])('a refusal that was %s is everybody’s, with code and time to wait', async (_case, waited, counted) => {
    const world = setUp(undefined);
    const crowd = Array.from({ length: 3 }, () => world.tokens.get());
    const outcomes = Promise.allSettled(crowd);
    await world.asked[0]?.answer(refusal('server_error', waited));
    for (const settled of await outcomes) {
      expect(settled).toMatchObject({
        reason: { code: 'TOKEN_UNAVAILABLE', extras: { retryAfterS: 7, fields: { result: 'server_error' } } },
      });
    }
    expect(world.lookups).toEqual([counted, counted]);
  });

  it('each caller waits as long as configured, also when the engine’s patience with the first is over', async () => {
    const world = setUp(undefined);
    const first = outcome(world);
    await world.clock.advance(6000);
    const second = outcome(world);
    await world.clock.advance(4000);
    expect(await first).toBe('TOKEN_UNAVAILABLE wait_timeout');
    await world.asked[0]?.answer(refusal('wait_timeout', true));
    await world.clock.advance(0);
    expect(world.asked).toHaveLength(2);
    await world.asked[1]?.answer({ ok: true, token: world.wire(1) });
    expect(await second).toBe('Bearer token-1');
  });

  it('no more than so many wait', async () => {
    const world = setUp(undefined);
    for (let caller = 0; caller < 20_000; caller += 1) void outcome(world);
    expect(await outcome(world)).toBe('TOKEN_UNAVAILABLE queue_full');
  });
});

describe('a token that an API refuses', () => {
  it('makes one question that names it, however many requests it was refused of', async () => {
    const world = setUp({ ageMs: 1000 });
    const stale = await world.tokens.get();
    const renewed = Array.from({ length: 50 }, () => world.tokens.renew(stale));
    expect(world.asked.map(({ refused }) => refused)).toEqual([1]);
    await world.asked[0]?.answer({ ok: true, token: world.wire(2) });
    for (const token of await Promise.all(renewed)) expect(token?.authorization.reveal()).toBe('Bearer token-2');
  });

  it('is not asked for again while it is new: then the 401 is the answer', async () => {
    const world = setUp({ ageMs: 999 });
    expect(world.tokens.renew(await world.tokens.get())).toBeUndefined();
    expect(world.asked).toEqual([]);
  });

  it('has been replaced already when another worker was faster', async () => {
    const world = setUp({ ageMs: 5000 });
    const stale = await world.tokens.get();
    world.tokens.accept(world.wire(2));
    expect((await world.tokens.renew(stale))?.authorization.reveal()).toBe('Bearer token-2');
    expect(world.asked).toEqual([]);
  });
});
