import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createWorld, DEMO_SECRET, SAMPLE, SAMPLE_SECRET, type World } from './harness.ts';

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

/** Longer than any test. */
const LONG_MS = 60_000;

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
    ['iam', '/core/iam/v1/clients'],
  ])('hits %s and nothing else', async (target, path) => {
    await order({ target, status: 599 });
    const others = [
      '/connect/token',
      '/.well-known/openid-configuration',
      '/banking/x',
      '/events/x',
      '/echo',
      '/core/iam/v1/x',
    ];
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
    await order({ target: 'echo', delayMs: LONG_MS });
    const slow = world.call('/echo').catch(() => 'closed');
    await expect.poll(pending).toEqual({ pending: [] });
    expect((await world.call('/echo')).status).toBe(200);
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
    ['a path that is no regular expression', { target: 'echo', path: '(', status: 503 }, /path/],
    ['a method that is none', { target: 'echo', method: 'GET /', status: 503 }, /method/],
    ['after without an effect', { target: 'echo', after: true }, /status, headers, body, delayMs, reset/],
    ['no object', [], /\$/],
  ])('answers 400 naming what is allowed to %s', async (_case, fault, message) => {
    const response = await order(fault);
    expect(response.status).toBe(400);
    expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect((await response.text()).replaceAll('\\"', '"')).toMatch(message);
    expect(await pending()).toEqual({ pending: [] });
  });
});

describe('aimed faults', () => {
  it('hit the method and path they name, and wait for them', async () => {
    await order({ target: 'iam', method: 'post', path: '/secrets$', status: 503 });
    await order({ target: 'iam', path: 'policies', status: 502 });
    expect((await world.iam('GET', '/clients/demo-erp/secrets')).status).toBe(200);
    expect((await world.iam('POST', '/clients', SAMPLE)).status).toBe(201);
    expect((await world.iam('GET', '/policies?x=/secrets')).status).toBe(502);
    expect((await world.iam('GET', '/policies')).status).toBe(200);
    expect((await world.iam('POST', '/clients/demo-erp/secrets?x=1', SAMPLE_SECRET)).status).toBe(503);
    expect((await world.iam('POST', '/clients/demo-erp/secrets', SAMPLE_SECRET)).status).toBe(201);
    expect(await pending()).toEqual({ pending: [] });
  });

  it('do not see the query as part of the path', async () => {
    await order({ target: 'echo', path: 'needle', status: 503 });
    expect((await world.call('/echo?needle')).status).toBe(200);
    expect((await world.call('/echo/needle')).status).toBe(503);
  });
});

describe('faults after the effect', () => {
  const SECRETS = '/clients/demo-erp/secrets';
  const count = async (): Promise<number> => (await world.iamJson('GET', SECRETS)).metadata.totalCount;
  const add = (): Promise<Response> => world.iam('POST', SECRETS, SAMPLE_SECRET);

  it('answer 500 to a secret that was created all the same', async () => {
    await order({ target: 'iam', method: 'POST', path: '/secrets$', after: true, status: 500, body: 'broken' });
    const response = await add();
    expect([response.status, await response.text()]).toEqual([500, 'broken']);
    expect(await count()).toBe(2);
  });

  it('leave the status and take the rest, when only a body is scripted', async () => {
    await order({ target: 'iam', method: 'POST', after: true, body: '' });
    const response = await world.iam('POST', '/clients', SAMPLE);
    expect([response.status, response.headers.get('location'), await response.text()]).toEqual([201, null, '']);
    expect(response.headers.get('content-length')).toBe('0');
    expect((await world.iamJson('GET', '/clients?searchText=my')).items).toHaveLength(1);
  });

  it('reset the connection after the secret was created', async () => {
    await order({ target: 'iam', method: 'POST', after: true, reset: true });
    const failure = await add().catch((error: Error) => error.cause);
    expect(failure).toMatchObject({ code: 'ECONNRESET' });
    expect(await count()).toBe(2);
  });

  it('answer too late for a caller that gives up, though the policy is deleted', async () => {
    const { subject } = await world.newcomer();
    const policy = { subject, scope: '/', action: 'owner' };
    await world.iamJson('POST', '/policies', policy);
    await order({ target: 'iam', method: 'DELETE', after: true, delayMs: LONG_MS });
    const patience = new AbortController();
    const headers = { authorization: `Bearer ${await world.token('services.iam', 'full')}` };
    const late = fetch(`${world.url}/core/iam/v1/policies`, {
      method: 'DELETE',
      body: JSON.stringify(policy),
      headers: { ...headers, 'content-type': 'application/json' },
      signal: patience.signal,
    });
    await expect.poll(async () => (await world.iamJson('GET', `/policies?subject=${subject}`)).items).toEqual([]);
    patience.abort();
    await expect(late).rejects.toThrow(/abort/i);
  });

  it('answer late but with the real answer, when they only delay', async () => {
    await order({ target: 'iam', after: true, delayMs: 150 });
    const start = performance.now();
    const { clientSecretId } = (await (await add()).json()) as { clientSecretId: string };
    expect(performance.now() - start).toBeGreaterThan(140);
    expect(clientSecretId).toMatch(/-/);
  });

  it('make a payment whose answer is lost, so that only its key tells', async () => {
    const payment = {
      debtorAccount: { iban: 'NO9386011117947' },
      creditorAccount: { iban: 'NO9386011117947' },
      amount: { value: '10.00', currency: 'NOK' },
    };
    const key = { 'idempotency-key': crypto.randomUUID() };
    await order({ target: 'banking', after: true, status: 504, headers: { 'x-lost': '1' } });
    const lost = await world.post('/banking/api/payments/credit-transfer', payment, key);
    expect([lost.status, lost.headers.get('x-lost'), lost.headers.get('location')]).toEqual([504, '1', null]);
    const again = await world.post('/banking/api/payments/credit-transfer', payment, key);
    expect([again.status, again.headers.get('idempotent-replayed')]).toEqual([200, 'true']);
    expect(await world.counters()).toMatchObject({ payments: { created: 1, replayed: 1 } });
  });

  it('take the place of a refusal and of a stream as well', async () => {
    await order({ target: 'iam', after: true, status: 502 });
    expect((await fetch(`${world.url}/core/iam/v1/clients`)).status).toBe(502);
    await order({ target: 'echo', after: true, status: 500, body: 'short' });
    const response = await world.call('/echo/bytes/100000000');
    expect([response.status, await response.text()]).toEqual([500, 'short']);
    await order({ target: 'token', after: true, status: 500 });
    expect((await world.askToken(GRANT)).status).toBe(500);
    expect(await world.counters()).toMatchObject({ tokensIssued: 2 });
  });
});
