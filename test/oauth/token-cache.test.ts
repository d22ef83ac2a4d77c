import { describe, expect, it } from 'vitest';
import { Secret } from '../../src/core/secret.ts';
import type { TokenKey } from '../../src/oauth/token.ts';
import { createTokenCache } from '../../src/oauth/token-cache.ts';
import { createFakeClock } from '../support/clock.ts';

const KEY: TokenKey = { credential: 'a', scope: 'api', audience: undefined, resource: undefined };

function setUp() {
  const asked: TokenKey[] = [];
  const clock = createFakeClock();
  const cache = createTokenCache({
    async fetchToken(key) {
      asked.push(key);
      return {
        kind: 'token',
        authorization: new Secret(`Bearer ${asked.length}`),
        lifetimeS: 3600,
        assumedLifetime: false,
      };
    },
    eventsFor: () => ({ lookup: () => undefined, obtained: () => undefined, failed: () => undefined }),
    refreshBeforeMs: 300_000,
    waitMs: 10_000,
    clock,
    random: () => 0,
  });
  return { asked, cache, clock };
}

describe('src/oauth/token-cache.ts', () => {
  it('gives routes that want the same token the same source, fetched once', () => {
    const { asked, cache } = setUp();
    expect(cache.open(KEY)).toBe(cache.open({ ...KEY }));
    expect(asked).toHaveLength(1);
  });

  it.each([
    ['credential', { ...KEY, credential: 'b' }],
    ['scope', { ...KEY, scope: 'services.iam' }],
    ['absent scope', { ...KEY, scope: undefined }],
    ['audience', { ...KEY, audience: 'x' }],
    ['resource', { ...KEY, resource: 'x' }],
    ['parts that only look alike when joined', { ...KEY, credential: 'a","api', scope: undefined }],
  ])('keeps keys apart that differ in %s', async (_what, other) => {
    const { cache } = setUp();
    const [one, two] = await Promise.all([cache.open(KEY).get(), cache.open(other).get()]);
    expect(one.authorization.reveal()).not.toBe(two.authorization.reveal());
  });

  it('lists sources by credential and stops all timers when closed', async () => {
    const { cache, clock } = setUp();
    cache.open(KEY);
    cache.open({ ...KEY, scope: 'x' });
    cache.open({ ...KEY, credential: 'b' });
    await clock.advance(0);
    expect([cache.sources().length, cache.sources('a').length, cache.sources('none').length]).toEqual([3, 2, 0]);
    expect(clock.timers).toBe(3);
    cache.close();
    expect(clock.timers).toBe(0);
  });
});
