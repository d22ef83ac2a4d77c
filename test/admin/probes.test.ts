// What probes are told through an outage of the identity server, before the first token and while draining.
import { describe, expect, it } from 'vitest';
import { type AdminWorld, createAdminWorld } from '../support/admin-world.ts';
import { grant, json } from '../support/token-server.ts';

const OUTAGE = json(503, { error: 'temporarily_unavailable' });

async function statuses({ admin }: AdminWorld): Promise<Record<string, number>> {
  const paths = ['/livez', '/readyz', '/startupz'];
  const answers = await Promise.all(paths.map(async (path) => [path, (await admin(path)).status] as const));
  return Object.fromEntries(answers);
}

const untilReady = (world: AdminWorld, status: number) =>
  expect.poll(async () => (await world.admin('/readyz')).status).toBe(status);

describe('admin/server', () => {
  it('is live, started and ready once a token was obtained', async () => {
    await using world = await createAdminWorld();
    await expect.poll(() => world.identity.calls.length).toBe(1);
    await untilReady(world, 200);
    expect(await statuses(world)).toEqual({ '/livez': 200, '/readyz': 200, '/startupz': 200 });
    const live = await world.admin('/livez');
    expect([live.body, live.headers['content-type']]).toEqual(['ok\n', 'text/plain; charset=utf-8']);
    expect((await world.admin('/readyz')).json()).toEqual({
      ready: true,
      listening: true,
      draining: false,
      credentials: [{ credential: 'default', scope: 'api', ready: true }],
      routes: [{ path: '/api', state: 'works' }],
    });
    expect((await world.admin('/startupz')).json()).toEqual({ started: true, listening: true, tokens: true });
  });

  it('stays ready in an outage of the identity server while a token is valid', async () => {
    await using world = await createAdminWorld();
    expect((await fetch(`${world.sidecar.url}/api/x`)).status).toBe(200);
    await world.identity.close();
    expect(await statuses(world)).toEqual({ '/livez': 200, '/readyz': 200, '/startupz': 200 });
    expect((await fetch(`${world.sidecar.url}/api/x`)).status).toBe(200);
  });

  it('stays ready while the API is down, for a restart would not help, and says that the route fails', async () => {
    await using world = await createAdminWorld({ routes: [{ path: '/api', upstream: 'http://127.0.0.1:9' }] });
    expect((await fetch(`${world.sidecar.url}/api/x`)).status).toBe(502);
    const readyz = await world.admin('/readyz');
    expect([readyz.status, readyz.json()]).toMatchObject([
      200,
      { ready: true, routes: [{ path: '/api', state: 'fails' }] },
    ]);
  });

  it('is not ready in an outage without a token, names credential and error, and recovers', async () => {
    await using world = await createAdminWorld();
    expect((await fetch(`${world.sidecar.url}/api/x`)).status).toBe(200);
    world.identity.answerWith(OUTAGE);
    expect((await world.admin('/token/refresh', { method: 'POST' })).status).toBe(503);
    const answer = await world.admin('/readyz');
    expect([answer.status, answer.json()]).toEqual([
      503,
      {
        ready: false,
        listening: true,
        draining: false,
        credentials: [{ credential: 'default', scope: 'api', ready: false, error: 'TOKEN_UNAVAILABLE' }],
        routes: [{ path: '/api', state: 'fails' }],
      },
    ]);
    expect(await statuses(world)).toMatchObject({ '/livez': 200, '/startupz': 200 });
    world.identity.answerWith(json(200, { access_token: 'token-2', token_type: 'Bearer', expires_in: 3600 }));
    await untilReady(world, 200);
  });

  it('names refused credentials as what they are', async () => {
    await using world = await createAdminWorld();
    await untilReady(world, 200);
    world.identity.answerWith(json(401, { error: 'invalid_client' }));
    await world.admin('/token/refresh', { method: 'POST' });
    expect((await world.admin('/readyz')).json()['credentials']).toEqual([
      { credential: 'default', scope: 'api', ready: false, error: 'CREDENTIALS_REJECTED' },
    ]);
  });

  it('with strict start-up is not started before the first token', async () => {
    const gate = Promise.withResolvers<void>();
    await using world = await createAdminWorld({ startup: 'strict' }, async (res, call, count) => {
      await gate.promise;
      grant('late')(res, call, count);
    });
    const before = await world.admin('/startupz');
    expect([before.status, before.json()]).toEqual([503, { started: false, listening: true, tokens: false }]);
    gate.resolve();
    await expect.poll(async () => (await world.admin('/startupz')).status).toBe(200);
  });

  it('is live but not ready while it drains', async () => {
    await using world = await createAdminWorld({ drain: { minimum: '2s', limit: '5s' } });
    await untilReady(world, 200);
    const stopped = world.sidecar.stop();
    expect(await statuses(world)).toMatchObject({ '/livez': 200, '/readyz': 503 });
    expect((await world.admin('/readyz')).json()).toMatchObject({ ready: false, draining: true });
    expect((await world.admin('/status')).json()).toMatchObject({ draining: true, ready: false });
    expect(await stopped).toBe(true);
  });

  it.each(['?credential=nosuch', '?credential=', '?credential=default&credential=default'])(
    'names the credentials there are where none has the name of POST /token/refresh%s',
    async (query) => {
      await using world = await createAdminWorld();
      await untilReady(world, 200);
      await expect.poll(() => world.identity.calls.length).toBe(1);
      const { status, json, body } = await world.admin(`/token/refresh${query}`, { method: 'POST' });
      expect([status, json()]).toMatchObject([
        404,
        {
          code: 'ROUTE_NOT_FOUND',
          cause: 'unknown_credential',
          detail:
            'No route uses a credential with this name; used: default. Correct `credential` in the query, or omit it to refresh all.',
        },
      ]);
      expect(body).not.toContain('nosuch');
      expect(world.identity.calls).toHaveLength(1);
    },
  );
});
