/** Where a sidecar joins its fleet: what is counted goes on through a reload. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import { createLog } from '../../src/core/log.ts';
import { createMetrics } from '../../src/core/metrics.ts';
import { Secret } from '../../src/core/secret.ts';
import { memberKeys } from '../../src/fleet/scripts.ts';
import type { TokenResponse } from '../../src/oauth/token-response.ts';
import { createQuotas, OWN_BUDGETS } from '../../src/proxy/rate-limits.ts';
import { openFleetLink } from '../../src/sidecar/fleet-link.ts';
import { createFakeClock } from '../support/clock.ts';
import { RotationScripts } from '../support/fleet-rotation-scripts.ts';
import { memberConfig, newFleetKey } from '../support/redis-member.ts';
import { until } from '../support/until.ts';

const KEY = newFleetKey();
const configWith = (fleet: Readonly<Record<string, unknown>> | undefined) =>
  memberConfig({ tokenEndpoint: 'http://127.0.0.1:9/token', fleet }, KEY);
const URL = 'redis://127.0.0.1:9';

const SILENT = createLog({ level: 'error', format: 'json', write: () => undefined });
const tokenOf = (value: string) => ({
  kind: 'token' as const,
  authorization: new Secret(`Bearer ${value}`),
  lifetimeS: 600,
  assumedLifetime: false,
});

async function open(fleet: Readonly<Record<string, unknown>> | undefined) {
  const clock = createFakeClock();
  const link = await openFleetLink({
    ...{ loaded: configWith(fleet), clock, random: () => 0.5, metrics: createMetrics('test') },
    log: SILENT,
    reload: () => undefined,
    // A store that is away.
    connect: () => ({ run: () => Promise.reject(new Error('not connected')), close: () => undefined }),
  });
  onTestFinished(() => link.close());
  const enter = createQuotas(() => clock.now().monotonicMs, link.budgets);
  const begun = () => {
    let count = 0;
    try {
      for (; ; count += 1) enter([{ owner: 'caller erp', limits: { requestsPerMinute: 3 } }])();
    } catch {
      return count;
    }
  };
  const begin = () => enter([{ owner: 'caller erp', limits: { requestsPerMinute: 3 } }])();
  return { clock, link, begin, begun };
}

describe('src/sidecar/fleet-link.ts', () => {
  it.each([
    ['the same', { url: URL }],
    ['other settings', { url: URL, timeout: '1s' }],
    ['no fleet any more', undefined],
  ])('has forgotten no request of the last minute after a reload with %s', async (_name, fleet) => {
    const { clock, link, begin, begun } = await open({ url: URL });
    await clock.advance(100);
    begin();
    begin();
    await clock.advance(100);
    link.use(configWith(fleet));
    await clock.advance(100);
    expect(begun()).toBe(1);
  });

  it('takes no token over that an API refused before a reload with other settings', async () => {
    const scripts = new RotationScripts(Date.now, () => undefined);
    const link = await openFleetLink({
      ...{ loaded: configWith({ url: URL, timeout: '5s' }), clock: systemClock, random: () => 0.5 },
      ...{ metrics: createMetrics('test'), log: SILENT, reload: () => undefined },
      connect: () => ({ run: async (...command) => scripts.run(...command), close: () => undefined }),
    });
    onTestFinished(() => link.close());
    const sharing = { parts: ['token'], host: undefined, secrets: () => [] };
    const isAwaited = () => Promise.resolve();
    const gets = (value: string) => async (): Promise<TokenResponse> => tokenOf(value);
    const fails = async (): Promise<TokenResponse> => ({ kind: 'unavailable', result: 'http_503' });
    const timeOf = (what: string) =>
      scripts
        .keys()
        .filter((key) => key.endsWith(what))
        .map((key) => scripts.pttl(key))[0];
    const before = link.token(sharing);
    await before.fetch(gets('refused'), isAwaited);
    await until('the token is in the store', () => timeOf(':token') !== undefined);
    const { authorization } = tokenOf('refused');
    before.refuse(authorization);
    await before.fetch(fails, isAwaited, { authorization, isRefused: true });
    await until("it is another one's turn", () => (timeOf(':lock') ?? 0) <= 1000);
    link.use(configWith({ url: URL, timeout: '4s' }));
    const next = await link.token(sharing).fetch(gets('new'), isAwaited);
    expect(next.kind === 'token' && next.authorization.equals(tokenOf('new').authorization)).toBe(true);
  });

  it('counts for this sidecar alone without a fleet', async () => {
    const { link, begun } = await open(undefined);
    const counted = { recent: () => [], secondsUntilBelow: (limit: number) => limit };
    expect(link.budgets.secondsUntilFree('x', 7, counted)).toBe(OWN_BUDGETS.secondsUntilFree('x', 7, counted));
    expect([begun(), link.snapshot()]).toEqual([3, undefined]);
  });

  it('takes back what it said with other keys, also of other places, so that nobody waits for a host that has none', async () => {
    const scripts = new RotationScripts(Date.now, () => undefined);
    const loaded = (key: string, secrets: number) => {
      const settings = { tokenEndpoint: 'http://127.0.0.1:9/token', fleet: { url: URL } };
      const one = memberConfig(settings, key);
      const { default: credential } = one.config.credentials;
      const names = Array.from({ length: secrets }, (_, index) => `erp-${index}`);
      const credentials = Object.fromEntries(names.map((name) => [name, { ...credential, clientId: name }]));
      const values = one.secrets.get('default') ?? [];
      const config = { ...one.config, credentials } as typeof one.config;
      return { ...one, config, secrets: new Map(names.map((name) => [name, values])) };
    };
    const link = await openFleetLink({
      ...{ loaded: loaded(KEY, 1), clock: systemClock, random: () => 0.5 },
      ...{ metrics: createMetrics('test'), log: SILENT, reload: () => undefined },
      connect: () => ({ run: async (...command) => scripts.run(...command), close: () => undefined }),
    });
    onTestFinished(() => link.close());
    const words = () => [...((scripts.get(memberKeys('aritma')[4] ?? '') as ReadonlyMap<string, string>) ?? [])];
    const untilTold = (keyId: string | undefined, count: number) =>
      until('the words of this key, and only those', () => {
        const keyIds = words().map(([, said]) => said.split(':')[1]);
        return keyIds.length === count && keyIds.every((id) => id === keyId);
      });
    await untilTold(link.snapshot()?.keyId, 1);
    // Of the places of now, and of those before: the host may get them back.
    link.use(loaded(KEY, 2));
    await untilTold(link.snapshot()?.keyId, 2);
    for (const key of [newFleetKey(), KEY]) {
      link.use(loaded(key, 2));
      await untilTold(link.snapshot()?.keyId, 1);
    }
  });
});
