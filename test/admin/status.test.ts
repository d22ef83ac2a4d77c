// The judgements behind probes and /status as pure functions, and the whole of /status over the wire.
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { readiness, startedUp, status } from '../../src/admin/status.ts';
import type { StatusInput, TokenView } from '../../src/admin/status-input.ts';
import { createAdminWorld } from '../support/admin-world.ts';
import { exchange } from '../support/raw.ts';
import { TEST_CLIENT_ID } from '../support/sidecar.ts';

const NOW = Date.UTC(2026, 0, 1);

const TOKEN: TokenView = {
  key: { credential: 'default', scope: 'api' },
  state: 'fresh',
  expiresAt: NOW + 60_500,
  lastSuccessAt: NOW - 1000,
  lastError: undefined,
  consecutiveFailures: 0,
  generation: 1,
};

const FAILED = {
  lastError: { code: 'TOKEN_UNAVAILABLE', result: 'timeout', at: NOW - 500 },
  consecutiveFailures: 3,
};

function input(tokens: readonly Partial<TokenView>[], rest: Partial<StatusInput> = {}): StatusInput {
  return {
    version: '1.2.3',
    environment: 'dev',
    startedAt: NOW - 90_900,
    now: NOW,
    listening: true,
    draining: false,
    startup: 'lenient',
    inFlight: 2,
    generation: 1,
    lastReload: undefined,
    logLinesLost: 0,
    warnings: [],
    unsafe: [],
    recentErrors: [],
    errorGroups: [],
    unknownOutcomes: [],
    routes: [],
    credentials: [],
    tokens: tokens.map((token) => ({ ...TOKEN, ...token })),
    upstreams: [],
    ...rest,
  };
}

describe('admin/status', () => {
  it.each([
    ['a fresh token', {}, true],
    ['a token due for refresh', { state: 'early' }, true],
    ['a valid token and failing refreshes', { state: 'early', ...FAILED }, true],
    ['no token yet and no failure', { state: 'none', generation: 0 }, true],
    ['an expired token that nobody has tried to replace', { state: 'expired' }, true],
    ['no token and a failure', { state: 'none', ...FAILED }, false],
    ['an expired token and a failure', { state: 'expired', ...FAILED }, false],
  ] as const)('with %s says ready = %s', (_what, token, ok) => {
    expect(readiness(input([token])).ok).toBe(ok);
    expect(readiness(input([{}, token])).ok).toBe(ok);
  });

  it.each([
    ['before it listens', { listening: false }],
    ['while draining', { draining: true }],
  ])('is never ready %s', (_what, rest) => {
    expect(readiness(input([{}], rest)).ok).toBe(false);
  });

  it('has started with the first token of every credential where start-up is strict, else with listening', () => {
    const one = [{}, { generation: 0 }];
    expect(startedUp(input(one, { startup: 'strict' })).ok).toBe(false);
    expect(startedUp(input([{}, {}], { startup: 'strict' })).ok).toBe(true);
    expect(startedUp(input(one, { startup: 'lenient' })).ok).toBe(true);
    expect(startedUp(input([{}], { listening: false })).ok).toBe(false);
  });

  it('shows times as ISO 8601 and durations in seconds', () => {
    const credentials = [{ name: 'default', clientId: 'x', secrets: [] }];
    const shown = status(input([FAILED, { key: { credential: 'other', scope: undefined } }], { credentials }));
    expect(shown).toMatchObject({ startedAt: '2025-12-31T23:58:29.100Z', uptimeS: 90, inFlight: 2 });
    expect(shown['credentials']).toEqual([
      {
        ...credentials[0],
        tokens: [
          {
            scope: 'api',
            state: 'fresh',
            expiresAt: '2026-01-01T00:01:00.500Z',
            expiresInS: 60,
            lastSuccessAt: '2025-12-31T23:59:59.000Z',
            lastError: { code: 'TOKEN_UNAVAILABLE', result: 'timeout', at: '2025-12-31T23:59:59.500Z' },
            consecutiveFailures: 3,
            generation: 1,
          },
        ],
      },
    ]);
  });

  it('is answered at GET /status with routes, credentials, secrets by fingerprint, and upstreams', async () => {
    await using world = await createAdminWorld();
    expect((await fetch(`${world.sidecar.url}/api/x`)).status).toBe(200);
    const answer = await world.admin('/status');
    expect(answer.headers).toMatchObject({
      'cache-control': 'no-store',
      'content-type': expect.stringMatching(/^application\/json/),
    });
    const origin = expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(answer.json()).toEqual({
      now: expect.stringMatching(/Z$/),
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      environment: 'none',
      startedAt: expect.stringMatching(/Z$/),
      uptimeS: expect.any(Number),
      ready: true,
      verdict: { state: 'works', failing: 0 },
      listening: true,
      listen: [expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/)],
      draining: false,
      inFlight: 0,
      generation: 1,
      warnings: [expect.stringContaining('/api'), expect.stringContaining('callers.keys')],
      unsafe: [],
      routes: [
        {
          path: '/api',
          upstream: origin,
          credential: 'default',
          scope: 'api',
          headers: [],
          timeoutsMs: {},
          verdict: { state: 'works', from: 'api', message: 'calls get responses' },
          last5m: { requests: 1, errors: 0, p50Ms: expect.any(Number), p99Ms: expect.any(Number) },
          last30m: { requests: [...Array(29).fill(0), 1], errors: Array(30).fill(0) },
        },
      ],
      credentials: [
        {
          name: 'default',
          clientId: TEST_CLIENT_ID,
          secrets: [{ name: '1', fingerprint: expect.stringMatching(/^[0-9a-f]{8}$/), inUse: true }],
          tokens: [
            {
              scope: 'api',
              state: 'fresh',
              expiresAt: expect.stringMatching(/Z$/),
              expiresInS: expect.any(Number),
              refreshAt: expect.stringMatching(/Z$/),
              lastSuccessAt: expect.stringMatching(/Z$/),
              consecutiveFailures: 0,
              generation: 1,
            },
          ],
        },
      ],
      upstreams: [{ origin, connected: 1, running: 0, queued: 0 }],
      recentErrors: [],
      errorGroups: [],
      unknownOutcomes: [],
    });
  });

  it('has the worst state of all routes above, and how many fail, with the time since when as ISO 8601', () => {
    const nothing = { requests: 0, errors: 0, p50Ms: undefined, p99Ms: undefined };
    const route = (path: string, failing: boolean) => {
      const met = { at: NOW, code: 'UPSTREAM_RESET', status: 502, agoMs: 0, inARow: 1, calls5m: 1, failed5m: 1 };
      const last = failing
        ? { successAt: undefined, failure: met, failingSince: NOW }
        : { successAt: NOW, failure: undefined, failingSince: undefined };
      const history = { last, last5m: nothing, last30m: { requests: [], errors: [] } };
      return { path, upstream: 'http://api', credential: 'default', scope: 'api', allow: undefined, history };
    };
    const paths = (...fail: boolean[]) => status(input([{}], { routes: fail.map((one, at) => route(`/${at}`, one)) }));
    expect(paths(true, false, true)).toMatchObject({
      ready: true,
      verdict: { state: 'fails', failing: 2 },
      routes: [{ path: '/0', verdict: { state: 'fails', since: '2026-01-01T00:00:00.000Z' } }, {}, {}],
    });
    expect(paths(false).verdict).toEqual({ state: 'works', failing: 0 });
  });

  it('says that connections were refused because there were too many', async () => {
    await using world = await createAdminWorld({ limits: { connections: 1 } });
    const { port } = world.sidecar;
    const open = connect(port, '127.0.0.1').on('error', () => undefined);
    open.write('GET /api/x HTTP/1.1\r\n');
    const verdict = async () => (await world.admin('/status')).json()['verdict'];
    await expect
      .poll(async () => {
        await exchange(port, 'GET /api/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n').catch(() => undefined);
        return verdict();
      })
      .toEqual({ state: 'warning', failing: 0 });
    open.destroy();
    const [route] = (await world.admin('/status')).json()['routes'] as { verdict: object }[];
    expect(route?.verdict).toMatchObject({ code: 'SIDECAR_OVERLOADED', from: 'sidecar' });
  });
});
