/** An hour without the identity server, driven by the clock: who notices, how often it is asked, how soon it is over. */
import { describe, expect, it } from 'vitest';
import { SidecarError } from '../../src/core/errors.ts';
import { Secret } from '../../src/core/secret.ts';
import type { TokenResponse } from '../../src/oauth/token-endpoint.ts';
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
  const server = { down: false, attempts: 0 };
  const answer = async (): Promise<TokenResponse> => {
    server.attempts += 1;
    if (server.down) return { kind: 'unavailable', result: 'refused' };
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
      const outcomes = new Map<string, number>();
      for (let second = 0; second < 3600; second += 5) {
        await clock.advance(5000);
        const outcome = await call();
        const usable = second + 5 < 50 * 60 - 30;
        expect(outcome, `${second} s into the outage`).toBe(usable ? 'Bearer token-1' : 'TOKEN_UNAVAILABLE');
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
      expect(server.attempts - attemptsBefore).toBeLessThanOrEqual(90);
      expect(outcomes.get('TOKEN_UNAVAILABLE')).toBeGreaterThan(100);
      server.down = false;
      await clock.advance(MINUTE_MS);
      expect(await call()).toMatch(/^Bearer token-\d+$/);
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
