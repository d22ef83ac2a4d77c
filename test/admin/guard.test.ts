// Who may use the admin listener, and how it answers what it does not know.
import { describe, expect, it } from 'vitest';
import { createAdminWorld } from '../support/admin-world.ts';
import { exchange } from '../support/raw.ts';
import { json } from '../support/token-server.ts';

const POST = { method: 'POST' } as const;

describe('admin/server', () => {
  it.each(['evil.example', 'evil.example:80', '127.0.0.1', '127.0.0.1:1', 'localhost.evil.example'])(
    'refuses the Host %j, as after DNS rebinding',
    async (host) => {
      await using world = await createAdminWorld();
      for (const path of ['/status', '/metrics', '/readyz', '/nothing']) {
        const answer = await world.admin(path, { headers: { Host: host } });
        expect([answer.status, answer.headers['x-sidecar-error']], path).toEqual([421, 'CALLER_HOST']);
      }
    },
  );

  it.each([
    ['no Host', []],
    ['an empty one', ['Host:']],
    ['two', ['Host: OWN', 'Host: OWN']],
    ['two, ours first', ['Host: OWN', 'hOST: evil.example']],
    ['two, ours last', ['Host: evil.example', 'Host: OWN']],
    ['one that is none', ['Host: user@OWN']],
    ['one that names a user', ['Host: 127.0.0.1:7090@evil']],
    ['a list', ['Host: OWN, evil.example']],
    ['one with a path', ['Host: OWN/x']],
    ['one over two lines', ['Host: evil.example', ' OWN']],
    ['one without a space in front of its colon only', ['Host : OWN']],
  ])('answers 400 to HTTP/1.1 with %s', async (_what, lines) => {
    await using world = await createAdminWorld();
    const { host, port } = new URL(world.sidecar.adminUrl);
    for (const path of ['/status', '/livez', '/nothing']) {
      const fields = [...lines, 'Connection: close'].join('\r\n').replaceAll('OWN', host);
      const answer = await exchange(Number(port), `GET ${path} HTTP/1.1\r\n${fields}\r\n\r\n`);
      expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    }
  });

  it.each([
    ['GET /livez HTTP/1.0', [], 200],
    ['HEAD /readyz HTTP/1.0', [], 200],
    ['OPTIONS / HTTP/1.0', [], 404],
    ['GET /livez HTTP/1.0', ['Host: OWN'], 200],
    ['GET /livez HTTP/1.0', ['Host: evil.example'], 421],
    ['GET /livez HTTP/1.0', ['Host: OWN', 'Host: OWN'], 400],
    ['POST /token/refresh HTTP/1.0', ['Origin: http://undefined'], 403],
    ['POST /token/refresh HTTP/1.0', ['Referer: http://undefined/'], 403],
    ['GET http://OWN/livez HTTP/1.1', ['Host: OWN'], 200],
    ['GET http://evil.example/livez HTTP/1.1', ['Host: OWN'], 421],
    ['GET http://OWN/livez HTTP/1.1', ['Host: evil.example'], 421],
    ['GET http://evil.example/livez HTTP/1.0', [], 421],
    ['GET http://user@OWN/livez HTTP/1.1', ['Host: OWN'], 400],
    ['GET https://OWN/livez HTTP/1.1', ['Host: OWN'], 400],
    ['OPTIONS * HTTP/1.1', ['Host: OWN'], 400],
  ])('answers %s with %j by status %d, as probes need it and the data port does', async (line, lines, status) => {
    await using world = await createAdminWorld();
    const { host, port } = new URL(world.sidecar.adminUrl);
    const bytes = [line, ...lines, 'Connection: close'].join('\r\n').replaceAll('OWN', host);
    expect(await exchange(Number(port), `${bytes}\r\n\r\n`)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
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
    [{ Origin: 'http://undefined' }],
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

  it.each(['https://evil.example/page', 'http://127.0.0.1/', 'http://evil.example', 'about:blank', 'nothing'])(
    'refuses what changes something and comes from the page %s, where the browser names no origin',
    async (referer) => {
      await using world = await createAdminWorld({ adminActions: true });
      for (const path of ['/token/refresh', '/shutdown']) {
        const answer = await world.admin(path, { ...POST, headers: { Referer: referer } });
        expect([answer.status, answer.headers['x-sidecar-error']], path).toEqual([403, 'CALLER_ORIGIN']);
      }
      // What only looks may be linked to.
      expect((await world.admin('/status', { headers: { Referer: referer } })).json()).toMatchObject({
        draining: false,
      });
      const own = { Referer: `${world.sidecar.adminUrl}/` };
      expect((await world.admin('/token/refresh', { ...POST, headers: own })).status).toBe(200);
    },
  );

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
