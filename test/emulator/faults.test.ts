import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createWorld, DEMO_SECRET, type World } from './harness.ts';

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world[Symbol.asyncDispose]());

const GRANT = { grant_type: 'client_credentials', client_id: 'demo-erp', client_secret: DEMO_SECRET, scope: 'api' };

const order = (fault: unknown): Promise<Response> =>
  fetch(`${world.url}/_emulator/faults`, {
    method: 'POST',
    body: JSON.stringify(fault),
    headers: { 'content-type': 'application/json' },
  });

const pending = async (): Promise<unknown> => (await fetch(`${world.url}/_emulator/faults`)).json();

describe('src/emulator/faults.ts', () => {
  it('replaces the next answers as often as asked, then answers normally', async () => {
    await order({ target: 'token', times: 2, status: 503, headers: { 'Retry-After': '7' }, body: 'busy' });
    for (const left of [1, 0]) {
      const response = await world.askToken(GRANT);
      expect([response.status, response.headers.get('retry-after'), await response.text()]).toEqual([503, '7', 'busy']);
      expect(await pending()).toMatchObject({ pending: left === 0 ? [] : [{ target: 'token', times: left }] });
    }
    expect((await world.askToken(GRANT)).status).toBe(200);
    expect(await world.counters()).toMatchObject({ tokenRequests: 3, tokensIssued: 1 });
  });

  it.each([
    ['token', '/connect/token'],
    ['discovery', '/.well-known/openid-configuration/jwks'],
    ['banking', '/banking/api/accounts'],
    ['events', '/events/api/failed-events'],
    ['echo', '/echo/some/path'],
  ])('hits %s and nothing else', async (target, path) => {
    await order({ target, status: 599 });
    const others = ['/connect/token', '/.well-known/openid-configuration', '/banking/x', '/events/x', '/echo'];
    for (const other of others.filter((candidate) => candidate.split('/')[1] !== path.split('/')[1])) {
      expect((await fetch(world.url + other)).status).not.toBe(599);
    }
    expect((await fetch(world.url + path)).status).toBe(599);
    expect((await fetch(world.url + path)).status).not.toBe(599);
  });

  it.each(['/echoes', '/connect/tokens', '/bankings/x'])('leaves %s alone, which only begins alike', async (path) => {
    for (const target of ['echo', 'token', 'banking']) await order({ target, status: 599 });
    expect((await fetch(world.url + path)).status).toBe(404);
    expect(await world.counters()).toMatchObject({ tokenRequests: 0, requests: { banking: 0, echo: 0 } });
  });

  it('hits a target with a query as well', async () => {
    await order({ target: 'echo', status: 599 });
    expect((await fetch(`${world.url}/echo?a`)).status).toBe(599);
  });

  it('uses the faults of a target in the order given', async () => {
    await order({ target: 'echo', status: 500 });
    await order({ target: 'banking', status: 501 });
    await order({ target: 'echo', status: 502, times: 2 });
    const statuses: number[] = [];
    for (let count = 0; count < 4; count += 1) statuses.push((await world.call('/echo')).status);
    expect(statuses).toEqual([500, 502, 502, 200]);
    expect(await pending()).toMatchObject({ pending: [{ target: 'banking' }] });
  });

  it('spends exactly as many as asked, when many requests come at once', async () => {
    await order({ target: 'echo', status: 503, times: 7 });
    const responses = await Promise.all(Array.from({ length: 40 }, () => world.call('/echo')));
    expect(responses.filter(({ status }) => status === 503)).toHaveLength(7);
  });

  it('answers late but normally, when a fault only delays', async () => {
    await order({ target: 'echo', delayMs: 250 });
    const start = performance.now();
    const response = await world.call('/echo');
    expect(performance.now() - start).toBeGreaterThan(240);
    expect(response.status).toBe(200);
  });

  it('delays first and answers the scripted status then', async () => {
    await order({ target: 'echo', delayMs: 150, status: 504 });
    const start = performance.now();
    expect((await world.call('/echo')).status).toBe(504);
    expect(performance.now() - start).toBeGreaterThan(140);
  });

  it('does not keep other requests waiting while one is delayed', async () => {
    await order({ target: 'echo', delayMs: 2000 });
    const slow = world.call('/echo').catch(() => 'closed');
    const start = performance.now();
    while (JSON.stringify(await pending()) !== '{"pending":[]}') expect(performance.now() - start).toBeLessThan(1500);
    expect((await world.call('/echo')).status).toBe(200);
    expect(performance.now() - start).toBeLessThan(1500);
    await world[Symbol.asyncDispose]();
    expect(await slow).toBe('closed');
  });

  it('resets the connection, when asked', async () => {
    await order({ target: 'echo', reset: true });
    const token = await world.token();
    const failure = await fetch(`${world.url}/echo`, { headers: { authorization: `Bearer ${token}` } }).catch(
      (error: Error) => error.cause,
    );
    expect(failure).toMatchObject({ code: 'ECONNRESET' });
    expect((await world.call('/echo')).status).toBe(200);
  });

  it('answers 200, when a fault has headers or a body and no status', async () => {
    await order({ target: 'token', body: '<html>', headers: { 'content-type': 'text/html' } });
    const response = await world.askToken(GRANT);
    expect([response.status, response.headers.get('content-type'), await response.text()]).toEqual([
      200,
      'text/html',
      '<html>',
    ]);
  });

  it('forgets all faults, when they are cleared', async () => {
    await order({ target: 'echo', status: 503, times: 5 });
    expect((await fetch(`${world.url}/_emulator/faults`, { method: 'DELETE' })).status).toBe(204);
    expect(await pending()).toEqual({ pending: [] });
    expect((await world.call('/echo')).status).toBe(200);
  });

  it.each([
    ['an unknown target', { target: 'bank', status: 503 }, /"token".*"discovery".*"banking".*"events".*"echo"/],
    ['no effect', { target: 'echo', times: 1 }, /status, headers, body, delayMs, reset/],
    ['an unknown field', { target: 'echo', state: 503 }, /state/],
    ['times of zero', { target: 'echo', times: 0, status: 503 }, /times/],
    ['a status no response can have', { target: 'echo', status: 42 }, /status/],
    ['a header that splits the response', { target: 'echo', headers: { a: 'b\r\nc: d' } }, /headers/],
    ['no object', [], /\$/],
  ])('answers 400 naming what is allowed to %s', async (_case, fault, message) => {
    const response = await order(fault);
    expect(response.status).toBe(400);
    expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect((await response.text()).replaceAll('\\"', '"')).toMatch(message);
    expect(await pending()).toEqual({ pending: [] });
  });
});
