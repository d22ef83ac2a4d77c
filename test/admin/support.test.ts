// GET /support: who gets the file, and where the page offers it.
import { request } from 'node:http';
import { describe, expect, it } from 'vitest';
import { createAdmin } from '../../src/admin/server.ts';
import { createMetrics } from '../../src/core/metrics.ts';
import { createAdminWorld } from '../support/admin-world.ts';
import { createFolder } from '../support/folder.ts';

function overSocket(socketPath: string, path: string): Promise<{ status: number | undefined; body: string }> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, headers: { Host: 'localhost' } }, (res) => {
      let body = '';
      res.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk;
      });
      res.on('end', () => resolve({ status: res.statusCode, body }));
    });
    call.on('error', reject).end();
  });
}

describe('the support file over HTTP', () => {
  it('is given over loopback where adminActions is set, as a text file to save', async () => {
    await using world = await createAdminWorld({ adminActions: true });
    const { status, headers, body } = await world.admin('/support');
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      'content-disposition': expect.stringMatching(/^attachment; filename="aritma-sidecar-support-\d{8}T\d{6}Z\.txt"$/),
      'cache-control': 'no-store',
    });
    expect(body).toContain('==== end of the log ====');
    expect(body).toContain('listening for operators');
  });

  it('is refused over loopback without adminActions, with the option to change, and the page does not offer it', async () => {
    await using world = await createAdminWorld();
    const answer = await world.admin('/support');
    expect(answer.status).toBe(403);
    expect(answer.json()).toMatchObject({ code: 'ROUTE_NOT_ALLOWED', detail: expect.stringContaining('adminActions') });
    expect((await world.admin('/')).body).not.toContain('/support');
  });

  it('is refused to a page of another origin', async () => {
    await using world = await createAdminWorld({ adminActions: true });
    const headers = { 'Sec-Fetch-Site': 'cross-site' };
    expect((await world.admin('/support', { headers })).status).toBe(403);
  });

  it('is given over a Unix socket, where the page has a link to it', async () => {
    using folder = createFolder();
    const socketPath = `${folder.path}/admin.sock`;
    await using _world = await createAdminWorld({ admin: ['127.0.0.1:0', `unix:${socketPath}`] });
    expect(await overSocket(socketPath, '/support?doctor=no')).toMatchObject({ status: 200 });
    const { body } = await overSocket(socketPath, '/');
    expect(body).toContain('<a class="button" href="/support" download>Download support file</a>');
  });

  it('is refused on a listener that other machines can reach, even where actions are allowed', async () => {
    const admin = createAdmin({
      snapshot: () => {
        throw new Error('not asked');
      },
      metrics: createMetrics('1.2.3'),
      refreshTokens: () => undefined,
      shutdown: () => undefined,
      support: async () => 'the file',
      hosts: new Set(),
    });
    const server = await admin.createListener({ checkHost: false, allowActions: true, isLocal: false });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const answer = await fetch(`http://127.0.0.1:${port}/support`);
    expect([answer.status, await answer.text()]).toEqual([403, expect.not.stringContaining('the file')]);
    server.close().closeAllConnections();
  });

  it('refuses a query it does not know', async () => {
    await using world = await createAdminWorld({ adminActions: true });
    expect((await world.admin('/support?doctor=perhaps')).status).toBe(400);
  });
});
