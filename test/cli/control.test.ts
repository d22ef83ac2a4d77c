// The commands that talk to a running sidecar: wait for it, ask it to stop.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, describe, expect, it } from 'vitest';
import { waitFor } from '../../src/cli/control.ts';
import { createInside } from '../support/cli-inside.ts';
import { startOwnTime } from '../support/own-time.ts';
import { json } from '../support/token-server.ts';
import { createWorld } from '../support/world.ts';

const inside = createInside();
const { run } = inside;
afterAll(() => inside[Symbol.asyncDispose]());

const bare = (url: string) => url.replace('http://', '');

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe.concurrent('wait', () => {
  it('exits 0 as soon as the sidecar is ready, and over a Unix socket too', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    const admin = `unix:${world.folder.path}/admin.sock`;
    const sidecar = await world.serve({ admin: ['127.0.0.1:0', admin] });
    for (const address of [bare(sidecar.adminUrl), admin]) {
      for (const probe of ['ready', 'started', 'live']) {
        const ended = await run(['wait', '--admin', address, '--for', probe, '--max', '30s']);
        expect(ended, `${probe} ${address}`).toMatchObject({ code: 0, stderr: '' });
        expect(JSON.parse(ended.stdout)).toEqual({ probe, done: true, message: probe });
      }
    }
  });

  it('exits 10 and says so when the sidecar does not become ready in time', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    world.identity.answerWith(json(401, { error: 'invalid_client' }));
    const sidecar = await world.serve();
    await sidecar.untilStdout(/CREDENTIALS_REJECTED/);
    const admin = ['--admin', bare(sidecar.adminUrl)];
    expect(await run(['wait', ...admin, '--max', '300ms'])).toMatchObject({
      code: 10,
      stderr: expect.stringMatching(/not ready within 300ms/),
    });
    expect((await run(['wait', ...admin, '--for', 'live', '--max', '0s'])).code).toBe(0);
  });

  it('exits 10 when nobody listens, with a line of JSON for programs', async () => {
    const { code, stdout } = await run(['wait', '--admin', '127.0.0.1:9', '--max', '200ms', '--json']);
    expect([code, JSON.parse(stdout)]).toEqual([
      10,
      { probe: 'ready', done: false, message: 'not ready within 200ms' },
    ]);
  });

  it('has a line of JSON for programs where shutdown reaches nobody, too', async () => {
    const { code, stdout } = await run(['shutdown', '--admin', '127.0.0.1:9', '--json']);
    const message = expect.stringMatching(/^no sidecar responds at the admin address/);
    expect([code, JSON.parse(stdout)]).toEqual([10, { accepted: false, message }]);
  });

  it('gives up after --max even where somebody accepts and never answers', async () => {
    const silent = createServer(() => undefined);
    const [host = '', port] = (await listening(silent)).split(':');
    using own = startOwnTime();
    expect(await waitFor({ kind: 'tcp', host, port: Number(port) }, 'ready', 100)).toBe(false);
    expect(own.ms).toBeLessThan(1500);
    silent.closeAllConnections();
    silent.close();
  });

  it('finds the sidecar by its configuration file, although its secrets cannot be read here', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    const sidecar = await world.serve();
    const file = world.folder.write(
      'wait.yaml',
      `admin: ${bare(sidecar.adminUrl)}\nenvironment: dev\ncredentials: { default: { clientId: x, secrets: [{ file: /nonexistent }] } }\n`,
    );
    expect((await run(['wait', '--config', file, '--max', '30s'])).code).toBe(0);
  });
});

describe.concurrent('shutdown', () => {
  it('exits 0 and the sidecar stops with 0 where adminActions allow it', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    const sidecar = await world.serve({ adminActions: true });
    expect((await run(['shutdown', '--admin', bare(sidecar.adminUrl)])).code).toBe(0);
    expect(await sidecar.ended).toMatchObject({ code: 0, stderr: '' });
  });

  it('exits 0 over a Unix socket without any setting', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    const admin = `unix:${world.folder.path}/admin.sock`;
    const sidecar = await world.serve({ admin });
    expect((await run(['shutdown', '--admin', admin])).code).toBe(0);
    expect((await sidecar.ended).code).toBe(0);
  });

  it('exits 10 and names the setting where it is switched off', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    const sidecar = await world.serve();
    const ended = await run(['shutdown', '--admin', bare(sidecar.adminUrl)]);
    expect(ended).toMatchObject({ code: 10, stderr: expect.stringMatching(/adminActions: true/) });
    expect((await fetch(`${sidecar.adminUrl}/livez`)).status).toBe(200);
  });

  it('exits 10 where nobody listens', async () => {
    expect(await run(['shutdown', '--admin', '127.0.0.1:9'])).toMatchObject({
      code: 10,
      stderr: expect.stringMatching(/no sidecar responds/),
    });
  });

  it('says that something else has the address where something else has it', async () => {
    const other = createServer((_req, res) => res.writeHead(404).end());
    const admin = await listening(other);
    expect(await run(['shutdown', '--admin', admin])).toMatchObject({ code: 10, stderr: expect.stringMatching(/404/) });
    other.closeAllConnections();
    other.close();
  });
});
