import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { startEmulator } from '../../src/emulator/server.ts';
import { freePort } from '../support/free-port.ts';
import { createWorld } from './harness.ts';

describe('src/emulator/server.ts', () => {
  it('says where it listens, when any port would do', async () => {
    await using world = await createWorld();
    expect(world.url).toMatch(/^http:\/\/127\.0\.0\.1:[1-9]\d*$/);
  });

  it('serves the demo client, when no client is given', async () => {
    const emulator = await startEmulator({ port: 0 });
    const body = new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: 'demo-erp',
      client_secret: 'demo-secret-not-for-production',
    });
    const response = await fetch(`${emulator.url}/connect/token`, { method: 'POST', body });
    expect(await response.json()).toMatchObject({ expires_in: 3600, scope: 'api services.banking' });
    await emulator.close();
  });

  it('rejects with the original error, when the port is taken', async () => {
    await using world = await createWorld();
    const { port } = new URL(world.url);
    await expect(startEmulator({ port: Number(port) })).rejects.toMatchObject({
      code: 'EADDRINUSE',
      port: Number(port),
    });
  });

  it('ends open connections and frees the port, when closed, also twice', async () => {
    const port = await freePort();
    const emulator = await startEmulator({ port });
    const idle = connect(port, '127.0.0.1');
    await once(idle, 'connect');
    const halfway = connect(port, '127.0.0.1');
    halfway.write('POST /connect/token HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n');
    await fetch(`${emulator.url}/nope`);
    const ended = Promise.all([once(idle, 'close'), once(halfway, 'close')]);
    idle.resume();
    halfway.resume();
    await emulator.close();
    await emulator.close();
    await ended;
    const next = await startEmulator({ port });
    await next.close();
  });

  it('keeps an idle connection for 75 seconds', async () => {
    await using world = await createWorld();
    expect((await fetch(`${world.url}/nope`)).headers.get('keep-alive')).toBe('timeout=75');
  });

  it.each(['/', '/nope', '/connect', '/Connect/Token', '/connect/token/', '/events/api/failed-events/', '/_emulator'])(
    'answers %s with a 404 problem',
    async (path) => {
      await using world = await createWorld();
      const response = await world.call(path);
      expect(response.status).toBe(404);
      expect(response.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
      expect(await response.json()).toEqual({
        type: 'https://tools.ietf.org/html/rfc9110#section-15.5.5',
        title: 'Not Found',
        status: 404,
        traceId: expect.any(String),
      });
    },
  );

  it('answers a path that cannot be decoded with a 400 problem', async () => {
    await using world = await createWorld();
    const response = await fetch(`${world.url}/%zz`);
    expect([response.status, ((await response.json()) as { title: string }).title]).toEqual([400, 'Bad Request']);
  });

  it('stays fast on the hot path, when many requests carry one token', async () => {
    await using world = await createWorld();
    const headers = { authorization: `Bearer ${await world.token()}` };
    const start = process.cpuUsage();
    for (let round = 0; round < 20; round += 1) {
      const batch = Array.from({ length: 50 }, () => fetch(`${world.url}/banking/api/accounts`, { headers }));
      for (const response of await Promise.all(batch)) await response.text();
    }
    // Of the processor, which a busy machine does not make more.
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / 1000).toBeLessThan(10_000);
  });
});
