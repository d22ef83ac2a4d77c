// Who may use the admin listener, and how it answers what it does not know.
import { describe, expect, it } from 'vitest';
import { createAdminWorld } from '../support/admin-world.ts';
import { exchange } from '../support/raw.ts';
import { json } from '../support/token-server.ts';

const POST = { method: 'POST' } as const;

describe('admin/server', () => {
  it.each([
    'evil.example',
    'evil.example:80',
    '127.0.0.1',
    '127.0.0.1:1',
    'localhost.evil.example',
    '127.0.0.1:7090@evil',
  ])('refuses the Host %j, as after DNS rebinding', async (host) => {
    await using world = await createAdminWorld();
    for (const path of ['/status', '/metrics', '/readyz', '/nothing']) {
      const answer = await world.admin(path, { headers: { Host: host } });
      expect([answer.status, answer.headers['x-sidecar-error']], path).toEqual([421, 'CALLER_HOST']);
    }
  });

  it('refuses a request without a Host, or with an empty one', async () => {
    await using world = await createAdminWorld();
    const { port } = new URL(world.sidecar.adminUrl);
    const empty = 'GET /status HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n';
    expect(await exchange(Number(port), empty)).toMatch(/^HTTP\/1\.1 421 /);
    expect(await exchange(Number(port), 'GET /status HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 421 /);
    expect(await exchange(Number(port), 'GET /status HTTP/1.1\r\nConnection: close\r\n\r\n')).toMatch(/^HTTP\/1\.1 4/);
  });

  it('answers to every name of this machine', async () => {
    await using world = await createAdminWorld();
    const { port } = new URL(world.sidecar.adminUrl);
    for (const name of ['127.0.0.1', 'localhost', 'LOCALHOST', '[::1]']) {
      expect((await world.admin('/livez', { headers: { Host: `${name}:${port}` } })).status, name).toBe(200);
    }
  });

  it.each([
    [{ Origin: 'https://evil.example' }],
    [{ Origin: 'null' }],
    [{ Origin: 'http://127.0.0.1' }],
    [{ 'Sec-Fetch-Site': 'cross-site' }],
    [{ 'Sec-Fetch-Site': 'same-site' }],
  ])('refuses what a web page of another origin sends: %j', async (headers) => {
    await using world = await createAdminWorld({ adminActions: true });
    for (const [path, method] of [
      ['/status', 'GET'],
      ['/token/refresh', 'POST'],
      ['/shutdown', 'POST'],
    ] as const) {
      const answer = await world.admin(path, { method, headers });
      expect([answer.status, answer.headers['x-sidecar-error']], path).toEqual([403, 'CALLER_ORIGIN']);
    }
    expect((await world.admin('/status')).json()).toMatchObject({ draining: false });
  });

  it('lets its own page and a typed address through', async () => {
    await using world = await createAdminWorld();
    const own: readonly Record<string, string>[] = [
      { Origin: world.sidecar.adminUrl, 'Sec-Fetch-Site': 'same-origin' },
      { 'Sec-Fetch-Site': 'none' },
    ];
    for (const headers of own) expect((await world.admin('/status', { headers })).status).toBe(200);
  });

  it('refetches the token at POST /token/refresh and answers with the status', async () => {
    await using world = await createAdminWorld();
    expect((await fetch(`${world.sidecar.url}/api/x`)).status).toBe(200);
    for (const path of ['/token/refresh', '/token/refresh?credential=default']) {
      const before = world.identity.calls.length;
      const answer = await world.admin(path, POST);
      expect(answer.status).toBe(200);
      expect(answer.json()).toMatchObject({ credentials: [{ tokens: [{ state: 'fresh' }] }] });
      expect(world.identity.calls.length).toBe(before + 1);
    }
  });

  it.each(['nobody', '', '__proto__', 'default&credential=default'])(
    'answers 404 for a refresh of credential %j',
    async (name) => {
      await using world = await createAdminWorld();
      const answer = await world.admin(`/token/refresh?credential=${name}`, POST);
      expect([answer.status, answer.headers['content-type']]).toEqual([
        404,
        expect.stringMatching(/^application\/problem\+json/),
      ]);
    },
  );

  it('answers 503 with the code and Retry-After for a refresh in an outage', async () => {
    await using world = await createAdminWorld();
    world.identity.answerWith(json(500, {}));
    await expect.poll(() => world.identity.calls.length).toBeGreaterThan(0);
    const answer = await world.admin('/token/refresh', POST);
    expect([answer.status, answer.headers['x-sidecar-error']]).toEqual([503, 'TOKEN_UNAVAILABLE']);
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
  });

  it.each([
    ['/nothing', 'GET', 404],
    ['/livez/', 'GET', 404],
    ['/livez', 'POST', 404],
    ['/token/refresh', 'GET', 404],
    ['/shutdown', 'GET', 404],
    ['/%zz', 'GET', 400],
    ['/..%2f..%2fetc/passwd', 'GET', 404],
  ])('answers %s by %s with a problem of status %d', async (path, method, status) => {
    await using world = await createAdminWorld();
    const answer = await world.admin(path, { method });
    expect(answer.status).toBe(status);
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
    expect(answer.json()).toMatchObject({
      status,
      code: answer.headers['x-sidecar-error'],
      requestId: expect.any(String),
    });
    expect(answer.body).not.toMatch(/passwd|FST_|fastify/i);
  });

  it('refuses POST /shutdown on TCP unless it is switched on', async () => {
    await using world = await createAdminWorld();
    expect((await world.admin('/shutdown', POST)).status).toBe(403);
    expect((await world.admin('/status')).json()).toMatchObject({ draining: false });
  });

  it.each([
    ['application/json', 'not json'],
    ['application/x-www-form-urlencoded', 'credential=nobody'],
    ['text/plain', '{"credential":"nobody"}'],
    ['application/octet-stream', '\0'],
    ['application/json', 'x'.repeat(100_000)],
  ])('ignores a body of type %s', async (type, body) => {
    await using world = await createAdminWorld();
    expect((await world.admin('/token/refresh', { ...POST, body, headers: { 'Content-Type': type } })).status).toBe(
      200,
    );
    expect((await world.admin('/livez', { headers: { 'Content-Type': type }, body })).status).toBe(200);
  });
});
