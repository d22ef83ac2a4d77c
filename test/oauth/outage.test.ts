/** An hour without the identity server, driven by the clock: who notices, how often it is asked, how soon it is over. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SidecarError } from '../../src/core/errors.ts';
import { Secret } from '../../src/core/secret.ts';
import type { TokenResponse } from '../../src/oauth/token-response.ts';
import { TokenSource } from '../../src/oauth/token-source.ts';
import { createFakeClock } from '../support/clock.ts';

const MINUTE_MS = 60_000;
const KEY = { credential: 'default', scope: 'api', audience: undefined, resource: undefined };

/** A repeatable stand-in for Math.random (a linear congruential generator). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

function setUp(seed: number) {
  const clock = createFakeClock();
  const server = { down: false, attempts: 0, retryAfterS: undefined as number | undefined };
  const answer = async (): Promise<TokenResponse> => {
    server.attempts += 1;
    if (server.down) return { kind: 'unavailable', result: 'refused', retryAfterS: server.retryAfterS };
    const authorization = new Secret(`Bearer token-${server.attempts}`);
    return { kind: 'token', authorization, lifetimeS: 3600, assumedLifetime: false };
  };
  const source = new TokenSource(KEY, {
    fetchToken: answer,
    events: { lookup: () => undefined, obtained: () => undefined, failed: () => undefined },
    refreshBeforeMs: 300_000,
    waitMs: 10_000,
    clock,
    random: seeded(seed),
  });
  const call = async (): Promise<string> => {
    try {
      const token = await source.get();
      return token.authorization.reveal();
    } catch (error) {
      return error instanceof SidecarError && (error.extras.retryAfterS ?? 0) > 0 ? error.code : 'no Retry-After';
    }
  };
  return { clock, server, call };
}

describe('an hour of outage that begins ten minutes after a token of an hour was fetched', () => {
  it.each([1, 2, 3, 4, 5])(
    'fails nobody before expiry, asks at most 90 times, is over within a step (seed %i)',
    async (seed) => {
      const { clock, server, call } = setUp(seed);
      await clock.advance(10 * MINUTE_MS);
      expect(await call()).toBe('Bearer token-1');
      server.down = true;
      const attemptsBefore = server.attempts;
      const calls: { readonly second: number; readonly outcome: Promise<string> }[] = [];
      for (let second = 5; second <= 3600; second += 5) {
        await clock.advance(5000);
        calls.push({ second, outcome: call() });
      }
      expect(server.attempts - attemptsBefore).toBeLessThanOrEqual(90);
      await clock.advance(10_000);
      for (const { second, outcome } of calls) {
        const expected = second < 50 * 60 - 30 ? 'Bearer token-1' : 'TOKEN_UNAVAILABLE';
        expect(await outcome, `${second} s into the outage`).toBe(expected);
      }
      server.down = false;
      const [last] = [call(), await clock.advance(10_000)];
      expect(await last).toMatch(/^Bearer token-\d+$/);
    },
  );

  it('settles 10,000 waiters with one request and fails the 20,001st at once', async () => {
    const clock = createFakeClock();
    let land: ((answer: TokenResponse) => void) | undefined;
    let fetches = 0;
    const source = new TokenSource(KEY, {
      fetchToken() {
        fetches += 1;
        return new Promise((resolve) => {
          land = resolve;
        });
      },
      events: { lookup: () => undefined, obtained: () => undefined, failed: () => undefined },
      refreshBeforeMs: 300_000,
      waitMs: 10_000,
      clock,
      random: () => 0,
    });
    const first = Array.from({ length: 10_000 }, () => Promise.resolve(source.get()));
    const more = Array.from({ length: 10_000 }, () => Promise.resolve(source.get()));
    expect(() => source.get()).toThrow(/TOKEN_UNAVAILABLE/);
    expect(clock.timers).toBe(20_000);
    land?.({ kind: 'token', authorization: new Secret('Bearer one'), lifetimeS: 3600, assumedLifetime: false });
    const tokens = await Promise.all([...first, ...more]);
    expect(new Set(tokens.map(({ authorization }) => authorization.reveal()))).toEqual(new Set(['Bearer one']));
    expect(fetches).toBe(1);
    await clock.advance(0);
    // What is left is the one timer for the next refresh.
    expect(clock.timers).toBe(1);
  });

  it('lets a caller give up after its own deadline without ending the flight for the others', async () => {
    const { clock } = setUp(1);
    let land: ((answer: TokenResponse) => void) | undefined;
    const source = new TokenSource(KEY, {
      fetchToken: () =>
        new Promise((resolve) => {
          land = resolve;
        }),
      events: { lookup: () => undefined, obtained: () => undefined, failed: () => undefined },
      refreshBeforeMs: 300_000,
      waitMs: 10_000,
      clock,
      random: () => 0,
    });
    const withShortTimeLimits = Promise.resolve(source.get()).catch((error: SidecarError) => error.code);
    await clock.advance(9000);
    const patient = Promise.resolve(source.get()).then(({ authorization }) => authorization.reveal());
    await clock.advance(1000);
    expect(await withShortTimeLimits).toBe('TOKEN_UNAVAILABLE');
    land?.({ kind: 'token', authorization: new Secret('Bearer late'), lifetimeS: 3600, assumedLifetime: false });
    expect(await patient).toBe('Bearer late');
  });
});

const OUTAGE_MS = 62_000;

/** From a token's expiry on nothing can be had for 62 s. */
async function outage(seed: number) {
  const world = setUp(seed);
  await world.clock.advance(10 * MINUTE_MS);
  world.server.down = true;
  await world.clock.advance(50 * MINUTE_MS);
  return world;
}

describe('an outage of 62 s that begins when there is no token any more', () => {
  it.each([1, 2, 3, 4, 5])(
    'fails none of 2,000 callers that come in its last second or later, asks at most every 10 s (seed %i)',
    async (seed) => {
      const { clock, server, call } = await outage(seed);
      const startMs = clock.now().monotonicMs;
      const before = server.attempts;
      const calls: { readonly atMs: number; readonly outcome: Promise<string> }[] = [];
      for (let caller = 0; caller < 2000; caller += 1) {
        const atMs = clock.now().monotonicMs - startMs;
        if (atMs >= OUTAGE_MS) server.down = false;
        calls.push({ atMs, outcome: call() });
        await clock.advance(40);
      }
      await clock.advance(10_000);
      const failed = [];
      for (const { atMs, outcome } of calls) if ((await outcome) === 'TOKEN_UNAVAILABLE') failed.push(atMs);
      expect(failed.filter((atMs) => atMs > OUTAGE_MS - 1000)).toEqual([]);
      // Not at once, and not in vain: those that fail have waited through a whole try.
      expect(failed.length).toBeLessThanOrEqual(OUTAGE_MS / 40);
      expect(server.attempts - before).toBeLessThanOrEqual(16);
    },
  );

  it.each([
    ['at most 9.5 s after its end while callers wait', true, 9500],
    ['at most a minute after its end when nobody does', false, MINUTE_MS],
  ])('is over %s', async (_what, isAwaited, withinMs) => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const { clock, server, call } = await outage(seed);
      for (let passedMs = 0; passedMs < OUTAGE_MS; passedMs += 1000) {
        if (isAwaited) void call();
        await clock.advance(1000);
      }
      server.down = false;
      const before = server.attempts;
      let afterMs = 0;
      for (; server.attempts === before; afterMs += 500) await clock.advance(500);
      expect(afterMs).toBeLessThanOrEqual(withinMs);
    }
  });

  it('asks one at a time and not earlier than the server says, whoever waits', async () => {
    const { clock, server, call } = await outage(7);
    server.retryAfterS = 7;
    void call();
    await clock.advance(10_000);
    const [waiting, before] = [call(), server.attempts];
    server.down = false;
    await clock.advance(9000);
    expect(await waiting).toMatch(/^Bearer/);
    expect(server.attempts - before).toBe(1);
  });
});

describe('an identity server that is gone once a token has come', () => {
  it.each(['hangs', 'refuses'])(
    'takes it from nobody before its last twentieth or 30 s, from 1 s to a day (%s)',
    async (how) => {
      const lives = fc.oneof(fc.constantFrom(1, 2, 8, 60, 600, 3600, 86_400), fc.integer({ min: 1, max: 86_400 }));
      const share = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
      await fc.assert(
        fc.asyncProperty(lives, share, share, async (lifetimeS, moment, luck) => {
          const clock = createFakeClock();
          let asked = 0;
          const source = new TokenSource(KEY, {
            async fetchToken(): Promise<TokenResponse> {
              asked += 1;
              if (asked === 1)
                return { kind: 'token', authorization: new Secret('Bearer one'), lifetimeS, assumedLifetime: false };
              // As long as one try may take.
              if (how === 'hangs') await new Promise<void>((resolve) => void clock.startTimer(5000, resolve));
              return { kind: 'unavailable', result: 'timeout' };
            },
            events: { lookup: () => undefined, obtained: () => undefined, failed: () => undefined },
            ...{ refreshBeforeMs: 300_000, waitMs: 10_000, clock, random: () => luck },
          });
          await clock.advance(0);
          const usableMs = lifetimeS * 1000 - Math.min(30_000, lifetimeS * 50);
          await clock.advance(Math.max(0, moment * usableMs - 1));
          expect(source.get()).not.toBeInstanceOf(Promise);
          source.close();
        }),
        { numRuns: 150 },
      );
    },
  );
});
