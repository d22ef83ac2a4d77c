import { describe, expect, it } from 'vitest';
import type { SidecarError } from '../../src/core/errors.ts';
import { Secret } from '../../src/core/secret.ts';
import type { LookupResult, ObtainedToken, Token } from '../../src/oauth/token.ts';
import type { TokenResponse } from '../../src/oauth/token-response.ts';
import { TokenSource } from '../../src/oauth/token-source.ts';
import { createFakeClock } from '../support/clock.ts';

const KEY = { credential: 'default', scope: 'api', audience: undefined, resource: undefined };
const DOWN: TokenResponse = { kind: 'unavailable', result: 'refused' };
const REFUSED: TokenResponse = { kind: 'rejected', result: 'invalid_client' };

/** A source whose fetches wait until the test answers them. */
function setUp({ random = (): number => 0, waitMs = 10_000 } = {}) {
  const clock = createFakeClock();
  const waiting: ((answer: TokenResponse) => void)[] = [];
  const lookups: LookupResult[] = [];
  const failures: number[] = [];
  const prepared: number[] = [];
  const startedMs = clock.now().monotonicMs;
  let fetches = 0;
  const source = new TokenSource(KEY, {
    prepare: () => void prepared.push(clock.now().monotonicMs - startedMs),
    fetchToken() {
      fetches += 1;
      return new Promise((resolve) => waiting.push(resolve));
    },
    events: {
      lookup: (result) => lookups.push(result),
      obtained: () => undefined,
      failed: (_error, retryInMs) => failures.push(retryInMs),
    },
    refreshBeforeMs: 300_000,
    waitMs,
    clock,
    random,
  });
  const answer = async (value: TokenResponse) => {
    for (const resolve of waiting.splice(0)) resolve(value);
    await clock.advance(0);
  };
  return { clock, source, lookups, failures, prepared, answer, fetches: () => fetches };
}

function token(name: string, lifetimeS = 3600): TokenResponse {
  return { kind: 'token', authorization: new Secret(`Bearer ${name}`), lifetimeS, assumedLifetime: false };
}

async function outcome(get: () => Token | Promise<Token>): Promise<string> {
  try {
    return (await get()).authorization.reveal();
  } catch (error) {
    return (error as SidecarError).code;
  }
}

describe('src/oauth/token-source.ts', () => {
  it('makes one fetch for any number of callers at a cold start, and all get its token', async () => {
    const { source, answer, fetches, lookups } = setUp();
    const callers = Array.from({ length: 1000 }, () => outcome(() => source.get()));
    await answer(token('one'));
    expect(new Set(await Promise.all(callers))).toEqual(new Set(['Bearer one']));
    expect(fetches()).toBe(1);
    expect(new Set(lookups)).toEqual(new Set(['join']));
  });

  it('hands a kept token out at once, without a promise', async () => {
    const { source, answer, lookups } = setUp();
    await answer(token('one'));
    expect(source.get()).not.toBeInstanceOf(Promise);
    expect(lookups).toEqual(['hit']);
  });

  it('prepares three seconds before it refreshes, once, and not before it tries again after a failure', async () => {
    const { clock, source, answer, fetches, prepared } = setUp();
    await answer(token('one'));
    expect(clock.timers).toBe(1);
    await clock.advance(3_296_999);
    expect(prepared).toEqual([]);
    await clock.advance(1);
    expect(prepared).toEqual([3_297_000]);
    expect(source.snapshot().refreshAt).toBe(clock.now().wallMs + 3000);
    await clock.advance(3000);
    expect(fetches()).toBe(2);
    await answer(DOWN);
    await clock.advance(60_000);
    expect(fetches()).toBe(3);
    expect(prepared).toHaveLength(1);
  });

  it('prepares for a refresh that is due in less than three seconds at once', async () => {
    const { clock, answer, prepared } = setUp();
    await answer(token('short', 4));
    expect(prepared).toEqual([0]);
    await clock.advance(2000);
    await answer(token('short', 4));
    expect(prepared).toEqual([0, 2000]);
  });

  it('prepares nothing after it was closed', async () => {
    const { clock, source, answer, prepared } = setUp();
    await answer(token('one'));
    source.close();
    await clock.advance(3_600_000);
    expect(prepared).toEqual([]);
  });

  it('refreshes by itself when the token turns early, while callers go on with the old one', async () => {
    const { clock, source, answer, fetches, lookups } = setUp();
    await answer(token('one'));
    await clock.advance(3_300_000);
    expect(fetches()).toBe(2);
    expect(await outcome(() => source.get())).toBe('Bearer one');
    expect(lookups).toEqual(['early']);
    await answer(token('two'));
    expect(await outcome(() => source.get())).toBe('Bearer two');
  });

  it('keeps the old token in use until it expires when the server is down, then fails with Retry-After', async () => {
    const { clock, source, answer, failures } = setUp({ random: () => 0.5, waitMs: 500 });
    await answer(token('one'));
    for (let waited = 0; waited < 3_569_000; waited += 1000) {
      await clock.advance(1000);
      await answer(DOWN);
      expect(await outcome(() => source.get())).toBe('Bearer one');
    }
    expect(failures.length).toBeGreaterThan(3);
    await clock.advance(1000);
    const asked = outcome(() => source.get());
    await answer(DOWN);
    expect(await asked).toBe('TOKEN_UNAVAILABLE');
  });

  it('never hands out an expired token, even when no timer fired because the machine slept', async () => {
    const { clock, source, answer } = setUp();
    await answer(token('one'));
    clock.sleep(3_600_000);
    const asked = outcome(() => source.get());
    await answer(token('two'));
    expect(await asked).toBe('Bearer two');
  });

  it('refetches once when the wall clock jumps ten years ahead, and works on', async () => {
    const { clock, source, answer, fetches } = setUp();
    await answer(token('one'));
    clock.jumpWall(10 * 365 * 86_400_000);
    const asked = [outcome(() => source.get()), outcome(() => source.get())];
    await answer(token('two'));
    expect(await Promise.all(asked)).toEqual(['Bearer two', 'Bearer two']);
    expect(source.get()).not.toBeInstanceOf(Promise);
    expect(fetches()).toBe(2);
  });

  it('does not use a token longer because the wall clock was set back', async () => {
    const { clock, source, answer } = setUp();
    await answer(token('one'));
    clock.jumpWall(-86_400_000);
    await clock.advance(3_300_000);
    await answer(DOWN);
    await clock.advance(270_000);
    await answer(DOWN);
    const asked = outcome(() => source.get());
    await clock.advance(10_000);
    expect(await asked).toBe('TOKEN_UNAVAILABLE');
  });

  it('tries again after a back-off without being asked, and not before', async () => {
    const { clock, source, answer, fetches } = setUp({ random: () => 0.999_999 });
    await answer(DOWN);
    expect(fetches()).toBe(1);
    await clock.advance(1900);
    expect(fetches()).toBe(1);
    await clock.advance(200);
    expect(fetches()).toBe(2);
    await answer(token('one'));
    expect(await outcome(() => source.get())).toBe('Bearer one');
    expect(source.snapshot()).toMatchObject({ state: 'fresh', consecutiveFailures: 0, lastError: undefined });
  });

  it('honours a Retry-After that is longer than its own back-off', async () => {
    const { clock, source, answer, fetches } = setUp();
    await answer({ kind: 'unavailable', result: 'http_429', retryAfterS: 40 });
    const error = await Promise.resolve()
      .then(() => source.get())
      .catch((thrown: SidecarError) => thrown);
    expect(error).toMatchObject({ code: 'TOKEN_UNAVAILABLE', extras: { retryAfterS: 40 } });
    await clock.advance(39_000);
    expect(fetches()).toBe(1);
    await clock.advance(1000);
    expect(fetches()).toBe(2);
  });

  it('waits at least a minute after rejected credentials, and says so to callers', async () => {
    const { clock, source, answer, fetches } = setUp({ waitMs: 500 });
    await answer(REFUSED);
    for (let second = 0; second < 59; second += 1) {
      await clock.advance(1000);
      expect(await outcome(() => source.get())).toBe('CREDENTIALS_REJECTED');
    }
    expect(fetches()).toBe(1);
    await clock.advance(1000);
    expect(fetches()).toBe(2);
  });

  it('fails all who wait for one flight together when their time is over before the next, and a later caller can succeed', async () => {
    const { clock, source, answer } = setUp({ waitMs: 999 });
    const callers = [outcome(() => source.get()), outcome(() => source.get())];
    await answer(DOWN);
    expect(await Promise.all(callers)).toEqual(['TOKEN_UNAVAILABLE', 'TOKEN_UNAVAILABLE']);
    await clock.advance(1000);
    const later = outcome(() => source.get());
    await answer(token('one'));
    expect(await later).toBe('Bearer one');
  });

  it('renews once for any number of upstreams that refused the same token', async () => {
    const { clock, source, answer, fetches } = setUp();
    await answer(token('one'));
    const stale = (await source.get()) as Token;
    await clock.advance(1000);
    const renewed = Array.from({ length: 50 }, () => outcome(() => source.renew(stale) ?? source.get()));
    await answer(token('two'));
    expect(new Set(await Promise.all(renewed))).toEqual(new Set(['Bearer two']));
    expect(await outcome(() => source.renew(stale) ?? source.get())).toBe('Bearer two');
    expect(fetches()).toBe(2);
  });

  it('renews nothing in the background for an upstream that refused the token before', async () => {
    const { clock, source, answer, fetches } = setUp();
    await answer(token('one'));
    const stale = (await source.get()) as Token;
    await clock.advance(1000);
    const renewed = outcome(() => source.renew(stale));
    await answer(token('two'));
    expect(await renewed).toBe('Bearer two');
    await clock.advance(1000);
    source.renewLater(stale);
    expect(fetches()).toBe(2);
  });

  it('renews a token that was refused although another member of a fleet has given the same one again meanwhile', async () => {
    const { clock, source, answer, fetches } = setUp();
    await answer(token('one'));
    const stale = (await source.get()) as Token;
    await clock.advance(1000);
    source.take({ ...(token('one') as ObtainedToken), isShared: true });
    const renewed = outcome(() => source.renew(stale));
    await answer(token('two'));
    expect(await renewed).toBe('Bearer two');
    expect(fetches()).toBe(2);
  });

  it('renews nothing when another member of a fleet has given a new token before the renewal may begin', async () => {
    const { clock, source, answer, fetches } = setUp();
    await answer(token('one'));
    const first = (await source.get()) as Token;
    await clock.advance(10);
    const renewed = outcome(() => source.renew(first));
    await answer(token('two'));
    expect(await renewed).toBe('Bearer two');
    const second = (await source.get()) as Token;
    await clock.advance(10);
    const again = outcome(() => source.renew(second));
    source.take({ ...(token('three') as ObtainedToken), isShared: true });
    expect(await again).toBe('Bearer three');
    await clock.advance(3000);
    expect([await outcome(() => source.get()), fetches()]).toEqual(['Bearer three', 2]);
  });

  it('renews all the same when the machine has slept for the whole life of the token that came meanwhile', async () => {
    const { clock, source, answer, fetches } = setUp();
    await answer(token('one'));
    for (const name of ['two', 'three']) {
      const stale = (await source.get()) as Token;
      await clock.advance(10);
      const renewed = outcome(() => source.renew(stale));
      if (name === 'three') source.take({ ...(token('short', 60) as ObtainedToken), isShared: true });
      else await answer(token(name));
      await renewed;
    }
    clock.sleep(3_600_000);
    const later = outcome(() => source.get());
    await clock.advance(1000);
    await answer(token('four'));
    expect([await later, fetches()]).toEqual(['Bearer four', 3]);
  });

  it('renews in the background a token that another member of a fleet has given again meanwhile', async () => {
    const { clock, source, answer, fetches } = setUp();
    await answer(token('one'));
    const stale = (await source.get()) as Token;
    await clock.advance(1000);
    source.take({ ...(token('one') as ObtainedToken), isShared: true });
    source.renewLater(stale);
    await answer(token('two'));
    expect(await outcome(() => source.get())).toBe('Bearer two');
    expect(fetches()).toBe(2);
  });

  it('serves the callers of one token together when the server gives the same token again', async () => {
    const { clock, source, answer, fetches } = setUp();
    await answer(token('one'));
    const stale = (await source.get()) as Token;
    await clock.advance(1000);
    const renewed = outcome(() => source.renew(stale));
    await answer(token('one'));
    expect(await renewed).toBe('Bearer one');
    expect(await outcome(() => source.renew(stale))).toBe('Bearer one');
    expect(fetches()).toBe(2);
  });

  it('renews a token that is refused in its first second at once, then one a second, and everybody waits for it', async () => {
    const { clock, source, answer, fetches } = setUp();
    const refusedAt: number[] = [];
    for (let generation = 1; generation <= 5; generation += 1) {
      await answer(token(`number-${generation}`));
      const stale = (await source.get()) as Token;
      await clock.advance(10);
      const renewed = Array.from({ length: 20 }, () => outcome(() => source.renew(stale)));
      while (fetches() === generation) await clock.advance(10);
      refusedAt.push(clock.now().monotonicMs - 1000);
      await answer(token(`number-${generation + 1}`));
      expect(new Set(await Promise.all(renewed))).toEqual(new Set([`Bearer number-${generation + 1}`]));
    }
    expect(refusedAt).toEqual([10, 1000, 2000, 3000, 4000]);
  });

  it('fails a renewal whose caller has less time than the rate leaves it, and serves the one with more', async () => {
    const { clock, source, answer, fetches } = setUp({ waitMs: 800 });
    await answer(token('one'));
    const first = outcome(() => source.renew(source.get() as Token));
    await answer(token('two'));
    expect(await first).toBe('Bearer two');
    const early = outcome(() => source.renew(source.get() as Token));
    await clock.advance(500);
    const late = outcome(() => source.get());
    await clock.advance(500);
    expect(fetches()).toBe(3);
    await answer(token('three'));
    expect([await early, await late]).toEqual(['TOKEN_UNAVAILABLE', 'Bearer three']);
  });

  it('asks at once after a machine slept through a back-off', async () => {
    const { clock, source, answer, fetches } = setUp({ random: () => 0.999 });
    for (let failure = 1; failure <= 6; failure += 1) {
      await answer(DOWN);
      if (failure < 6) await clock.advance(60_000);
    }
    expect(fetches()).toBe(6);
    clock.sleep(60_000);
    const asked = outcome(() => source.get());
    expect(fetches()).toBe(7);
    await answer(token('awake'));
    expect(await asked).toBe('Bearer awake');
  });

  it('fails with the try that is under way or the last one, for whoever does not wait for another', async () => {
    const { clock, source, answer, fetches } = setUp();
    const asked = outcome(() => source.getOnce());
    await answer(DOWN);
    expect([await asked, await outcome(() => source.getOnce()), fetches()]).toEqual([
      ...Array(2).fill('TOKEN_UNAVAILABLE'),
      1,
    ]);
    await clock.advance(1000);
    const again = outcome(() => source.getOnce());
    await answer(token('one'));
    expect([await again, await outcome(() => source.getOnce()), fetches()]).toEqual([
      ...Array(2).fill('Bearer one'),
      2,
    ]);
  });

  it('refreshes on request even while it backs off from rejected credentials', async () => {
    const { source, answer } = setUp();
    await answer(REFUSED);
    const asked = outcome(() => source.refresh());
    await answer(token('one'));
    expect(await asked).toBe('Bearer one');
  });

  it('leaves no timer behind when closed, during a flight too', async () => {
    const { clock, source, answer, fetches } = setUp();
    source.close();
    await answer(token('one'));
    expect(clock.timers).toBe(0);
    await clock.advance(86_400_000);
    expect(fetches()).toBe(1);
  });

  it('looks at long-lived tokens at least hourly, so no timer is too long for Node', async () => {
    const { clock, source, answer, fetches } = setUp();
    await answer(token('one', 86_400));
    await clock.advance(80_000_000);
    expect(fetches()).toBe(1);
    expect(source.snapshot().state).toBe('fresh');
    await clock.advance(6_100_000);
    expect(fetches()).toBe(2);
  });
});
