/** Headers that a route adds to its requests, as the API sees them on raw sockets. */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { callUpstream } from '../../src/check/upstream.ts';
import { loadConfig } from '../../src/config/load.ts';
import { Secret } from '../../src/core/secret.ts';
import { createWorld as createEmulator, SAMPLE_SECRET } from '../emulator/harness.ts';
import { createFakeClock } from '../support/clock.ts';
import { valuesOf } from '../support/messages.ts';
import { createProxyWorld, type ProxyWorld, type ProxyWorldOptions } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';
import { startTestSidecar } from '../support/sidecar.ts';
import { createUpgradeWorld, OFFER, startHandshakeUpstream } from '../support/upgrade-world.ts';

const GET = 'GET /api/x HTTP/1.1';
const INVALID = 'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer error="invalid_token"\r\nContent-Length: 0\r\n\r\n';
const HEADERS = { 'Subscription-Id': 'of-route', TenantId: { value: 'of-route', override: true } };

interface RouteWorld extends AsyncDisposable {
  readonly world: ProxyWorld;
  readonly api: ProxyWorld['upstream'];
}

/** The route `/api` adds `HEADERS`, `/plain` nothing; both lead to the same API. Its token is two seconds old. */
async function routeWorld(options: ProxyWorldOptions = {}, route: object = {}): Promise<RouteWorld> {
  const apiWorld = await createProxyWorld(options);
  const upstream = apiWorld.upstream.url;
  const clock = createFakeClock();
  const routes = [
    { path: '/api', upstream, headers: HEADERS, ...route },
    { path: '/plain', upstream },
  ];
  const world = await createProxyWorld({ config: { routes }, clock });
  await clock.advance(2000);
  return {
    world,
    api: apiWorld.upstream,
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      await apiWorld[Symbol.asyncDispose]();
    },
  };
}

/** Every field line that some server could take for one of the two, of the last request. */
function fieldsOf({ api }: RouteWorld): string[] {
  const fields = api.requests.at(-1)?.fields ?? [];
  return fields.filter(([name]) => /^(?:subscription|tenant)/i.test(name)).map(([name, value]) => `${name}: ${value}`);
}

describe('routes[].headers', () => {
  it('are added to a request without them, in the spelling of the configuration', async () => {
    await using route = await routeWorld();
    expect((await route.world.call(GET)).status).toBe(200);
    expect(fieldsOf(route)).toEqual(['Subscription-Id: of-route', 'TenantId: of-route']);
  });

  it.each([
    ['the same', 'Subscription-Id: own', 'TenantId: own', ['Subscription-Id: own']],
    ['another case', 'SUBSCRIPTION-id: own', 'tENANTiD: own', ['SUBSCRIPTION-id: own']],
    ['an underscore, as CGI servers read it', 'subscription_id: own', 'TenantId_: own', ['subscription_id: own']],
    ['an empty value', 'Subscription-Id:', 'TenantId:', ['Subscription-Id: ']],
  ])(
    'leave one line each when the caller sends its own in %s: only override replaces it',
    async (_how, one, two, kept) => {
      await using route = await routeWorld();
      expect((await route.world.call(GET, `${one}\r\n${two}\r\n\r\n`)).status).toBe(200);
      expect(fieldsOf(route)).toEqual([...kept, 'TenantId: of-route']);
    },
  );

  it('replace all lines of the caller with override, and leave all of them without', async () => {
    await using route = await routeWorld();
    const twice = 'Subscription-Id: a\r\nTenantId: a\r\nsubscription-id: b\r\ntenantid: b\r\n\r\n';
    await route.world.call(GET, twice);
    expect(fieldsOf(route)).toEqual(['Subscription-Id: a', 'subscription-id: b', 'TenantId: of-route']);
  });

  it('cannot be removed by naming them in Connection', async () => {
    await using route = await routeWorld();
    await route.world.call(GET, 'Connection: close, subscription-id, TenantId\r\nSubscription-Id: own\r\n\r\n');
    expect(fieldsOf(route)).toEqual(['Subscription-Id: of-route', 'TenantId: of-route']);
  });

  it('are sent again with the replay after a 401, once each', async () => {
    await using route = await routeWorld({ answer: (_request, index) => (index === 0 ? INVALID : ok('fine')) });
    expect((await route.world.call('POST /api/x HTTP/1.1', 'Content-Length: 2\r\n\r\nhi')).body).toBe('fine');
    const sent = route.api.requests.map((request) => valuesOf(request, 'subscription-id'));
    expect(sent).toEqual([['of-route'], ['of-route']]);
    expect(new Set(route.api.requests.flatMap((request) => valuesOf(request, 'authorization'))).size).toBe(2);
  });

  it('are not added on other routes to the same API', async () => {
    await using route = await routeWorld();
    await route.world.call('GET /plain/x HTTP/1.1');
    expect(fieldsOf(route)).toEqual([]);
  });

  it('go with cookies: drop and idempotency: inject of the same route', async () => {
    await using route = await routeWorld({}, { cookies: 'drop', idempotency: 'inject' });
    await route.world.call('POST /api/x HTTP/1.1', 'Cookie: a=b\r\nContent-Length: 0\r\n\r\n');
    const [request] = route.api.requests;
    expect(request && [valuesOf(request, 'cookie'), valuesOf(request, 'idempotency-key').length]).toEqual([[], 1]);
    expect(fieldsOf(route)).toEqual(['Subscription-Id: of-route', 'TenantId: of-route']);
  });

  it('are in a WebSocket handshake, which the upgrade cannot remove', async () => {
    const api = await startHandshakeUpstream();
    const routes = [{ path: '/api', upstream: api.url, upgrade: true, headers: HEADERS }];
    await using world = await createUpgradeWorld(api.url, { config: { routes } });
    using caller = await world.open();
    const offer = OFFER.replace('Connection: Upgrade', 'Connection: Upgrade, Subscription-Id');
    caller.send(`GET /api/ws HTTP/1.1\r\n${world.host}tenantid: own\r\n${offer}\r\n`);
    expect((await caller.answer()).status).toBe(101);
    const lines = api.conversations[0]?.head.split('\r\n').filter((line) => /^(?:subscription|tenant)/i.test(line));
    expect(lines).toEqual(['Subscription-Id: of-route', 'TenantId: of-route']);
  });

  it('name the subscription on whose policies Aritma decides', async () => {
    await using aritma = await createEmulator();
    const who = await aritma.newcomer();
    const policy = { subject: who.subject, scope: '/subscriptions/123', action: 'banking.ais.read' };
    await aritma.iamJson('POST', '/policies', policy);
    const upstream = `${aritma.url}/banking/api`;
    const routes = ['123', '12'].map((id) => ({ path: `/of-${id}`, upstream, headers: { 'Subscription-Id': id } }));
    const sidecar = await startTestSidecar({
      ...{ upstream, tokenEndpoint: `${aritma.url}/connect/token`, config: { routes } },
      ...{ clientId: who.clientId, secret: SAMPLE_SECRET.value },
    });
    onTestFinished(async () => void (await sidecar.stop()));
    const status = async (path: string, headers = {}) => (await fetch(sidecar.url + path, { headers })).status;
    expect(await status('/of-123/accounts')).toBe(200);
    expect(await status('/of-12/accounts')).toBe(403);
    expect(await status('/of-12/accounts', { 'subscription-id': '123' })).toBe(200);
  });

  it('are also in the call of the doctor', async () => {
    await using route = await routeWorld();
    const { file } = route.world.sidecar;
    const loaded = loadConfig({ file, env: {} });
    const [first] = loaded.config.routes;
    expect(first && (await callUpstream(first, new Secret('Bearer x'), loaded)).level).toBe('ok');
    const fields = fieldsOf(route).map((line) => line.toLowerCase());
    expect(fields).toEqual(['subscription-id: of-route', 'tenantid: of-route']);
  });

  it('change with a reload', async () => {
    await using route = await routeWorld();
    const { file } = route.world.sidecar;
    writeFileSync(file, readFileSync(file, 'utf8').replaceAll('of-route', 'reloaded'));
    route.world.sidecar.reload();
    await route.world.call(GET);
    expect(fieldsOf(route)).toEqual(['Subscription-Id: reloaded', 'TenantId: reloaded']);
  });

  it('are on /status and on the page, with the time limits of the route', async () => {
    await using route = await routeWorld({}, { timeouts: { firstByte: '2m' } });
    const { adminUrl } = route.world.sidecar;
    const { routes } = (await (await fetch(`${adminUrl}/status`)).json()) as { routes: object[] };
    const headers = [
      { name: 'Subscription-Id', value: 'of-route', override: false },
      { name: 'TenantId', value: 'of-route', override: true },
    ];
    expect(routes).toMatchObject([
      { path: '/api', headers, timeoutsMs: { firstByte: 120_000 } },
      { path: '/plain', headers: [], timeoutsMs: {} },
    ]);
    const page = (await (await fetch(adminUrl)).text()).replace(/<[^>]*>/g, '');
    expect(page).toContain('adds Subscription-Id: of-routealways sends TenantId: of-routefirstByte within 120 s');
  });
});
