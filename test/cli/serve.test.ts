// The life of the process: how it starts, refuses to start, drains, is cut short and comes back.
import { type AddressInfo, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import { jsonLines, run } from '../support/cli.ts';
import { createFolder } from '../support/folder.ts';
import { freePort } from '../support/free-port.ts';
import { ok, startRawUpstream } from '../support/raw.ts';
import { json } from '../support/token-server.ts';
import { createWorld } from '../support/world.ts';

/** An API that answers when it is told to. */
async function startSlowApi() {
  const waiting: (() => void)[] = [];
  const raw = await startRawUpstream((socket, received) => {
    if (received.endsWith('\r\n\r\n')) waiting.push(() => void socket.write(ok('late but whole')));
  });
  return {
    url: raw.url,
    untilAsked: () => raw.until((received) => received.some((bytes) => bytes.endsWith('\r\n\r\n'))),
    answer() {
      for (const send of waiting) send();
    },
    [Symbol.asyncDispose]: () => raw.close(),
  };
}

const hasIpv6 = Object.values(networkInterfaces())
  .flat()
  .some((one) => one?.address === '::1');

const status = async (url: string) => (await fetch(url)).status;

// Side by side, because most of their time is waiting for processes.
describe.concurrent('serve', () => {
  it('exits 2 on a wrong configuration, names every problem on standard error and no value', async () => {
    using folder = createFolder();
    const config = folder.write('config.yaml', 'environment: dev\nbogus: CANARY\ntimeouts: { connect: CANARY }\n');
    const env = { ARITMA_CLIENT_ID: 'x', ARITMA_CLIENT_SECRET: 'CANARY' };
    const { code, stdout, stderr } = await run(['serve', '--config', config], { env });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('2 problems');
    expect(stderr).toContain(`${config}:2: bogus`);
    expect(stderr).toContain(`${config}:3: timeouts.connect`);
    expect(stderr).not.toContain('CANARY');
  });

  it.each(['listen', 'admin'])('exits 3 and names the address when that of %s is taken', async (option) => {
    await using world = await createWorld('http://127.0.0.1:9');
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const address = `127.0.0.1:${(other.address() as AddressInfo).port}`;
    const { code, stderr } = await world.launch({ [option]: address }).ended;
    other.close();
    expect(code).toBe(3);
    expect(stderr).toMatch(/^SIDECAR_LISTEN_FAILED/);
    expect(stderr).toContain(address);
    expect(stderr).toContain(`Another program or another sidecar already uses ${address} (EADDRINUSE). Find it`);
  });

  it('exits 3 and blames no other program when listen and admin are the same address', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    const free = createServer();
    await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve));
    const address = `127.0.0.1:${(free.address() as AddressInfo).port}`;
    await new Promise((resolve) => free.close(resolve));
    const { code, stderr } = await world.launch({ listen: address, admin: address }).ended;
    expect(code).toBe(3);
    expect(stderr).toContain(`admin ${address}: this address is configured twice`);
    expect(stderr).toContain('Give `listen` and `admin` addresses of their own.');
    expect(stderr).not.toMatch(/another program/i);
  });

  it('exits 2 and says to create the folder where that of the audit log is missing', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    const folder = `${world.folder.path}/missing`;
    const { code, stderr } = await world.launch({ audit: { file: `${folder}/audit.jsonl` } }).ended;
    expect(code).toBe(2);
    expect(stderr).toContain(`audit ${folder}/audit.jsonl: its folder does not exist (ENOENT)\n`);
    expect(stderr).toContain('Create it, owned by the user that runs the sidecar (systemd: LogsDirectory=)');
    expect(stderr).not.toContain('whenFailing');
  });

  it.skipIf(!hasIpv6)('binds 127.0.0.1 and ::1 for localhost, and nothing else', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    const sidecar = await world.serve({ listen: 'localhost:0', admin: 'localhost:0' });
    const logged = jsonLines(sidecar.stdout()).flatMap(({ address }) => (typeof address === 'string' ? [address] : []));
    const { port } = new URL(sidecar.url);
    const { port: adminPort } = new URL(sidecar.adminUrl);
    expect(logged.sort()).toEqual(
      [port, adminPort].flatMap((one) => [`http://127.0.0.1:${one}`, `http://[::1]:${one}`]).sort(),
    );
    for (const host of ['127.0.0.1', '[::1]', 'localhost']) {
      expect(await status(`http://${host}:${port}/unknown`)).toBe(404);
      expect(await status(`http://${host}:${adminPort}/livez`)).toBe(200);
    }
    const elsewhere = Object.values(networkInterfaces())
      .flat()
      .find((one) => one && !one.internal && one.family === 'IPv4');
    if (elsewhere) await expect(fetch(`http://${elsewhere.address}:${port}/unknown`)).rejects.toThrow();
    sidecar.kill('SIGTERM');
    expect((await sidecar.ended).code).toBe(0);
  });

  it.skipIf(!hasIpv6)('works with IPv6 alone', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    const { url, adminUrl } = await world.serve({ listen: '[::1]:0', admin: '[::1]:0' });
    expect(url).toMatch(/^http:\/\/\[::1\]:\d+$/);
    expect(await status(`${url}/unknown`)).toBe(404);
    expect(await status(`${adminUrl}/livez`)).toBe(200);
  });

  it.skipIf(!hasIpv6)('exits 3 when another program has one of the two addresses of localhost', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '::1', resolve));
    const { port } = other.address() as AddressInfo;
    const { code, stderr } = await world.launch({ listen: `localhost:${port}` }).ended;
    other.close();
    expect(code).toBe(3);
    expect(stderr).toContain(`[::1]:${port}`);
    expect(stderr).toContain('EADDRINUSE');
  });

  it('exits 3 when the socket belongs to another sidecar, which goes on serving', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    const listen = `unix:${world.folder.path}/sidecar.sock`;
    const first = await world.serve({ listen });
    const second = await world.launch({ listen }).ended;
    expect(second).toMatchObject({ code: 3, stderr: expect.stringContaining(listen) });
    expect(await status(`${first.adminUrl}/livez`)).toBe(200);
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('finishes a running request on %s and exits 0', async (signal) => {
    await using api = await startSlowApi();
    await using world = await createWorld(api.url);
    const sidecar = await world.serve();
    const answer = fetch(`${sidecar.url}/api/x`);
    await api.untilAsked();
    sidecar.kill(signal);
    await sidecar.untilStdout(/"stopping"/);
    expect(await status(`${sidecar.adminUrl}/readyz`)).toBe(503);
    await expect(fetch(`${sidecar.url}/api/y`)).rejects.toThrow();
    api.answer();
    expect(await (await answer).text()).toBe('late but whole');
    const { code, stderr, stdout } = await sidecar.ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const messages = jsonLines(stdout).map(({ message }) => message);
    expect(
      messages.filter((message) => message === 'stopped'),
      messages.join(),
    ).toHaveLength(1);
  });

  it('keeps accepting for drain.minimum while it is no longer ready', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    const sidecar = await world.serve({ drain: { minimum: '5s' } });
    sidecar.kill('SIGTERM');
    await sidecar.untilStdout(/"stopping"/);
    expect(await status(`${sidecar.adminUrl}/readyz`)).toBe(503);
    expect(await status(`${sidecar.url}/unknown`)).toBe(404);
    expect((await sidecar.ended).code).toBe(0);
  });

  it('exits 4 at once on a second signal', async () => {
    await using api = await startSlowApi();
    await using world = await createWorld(api.url);
    const sidecar = await world.serve();
    const answer = fetch(`${sidecar.url}/api/x`).catch(() => 'cut');
    await api.untilAsked();
    sidecar.kill('SIGTERM');
    await sidecar.untilStdout(/"stopping"/);
    sidecar.kill('SIGTERM');
    expect((await sidecar.ended).code).toBe(4);
    expect(await answer).toBe('cut');
  });

  it('exits 0 when it is asked to stop while a strict start waits for its first token', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    world.identity.answerWith(() => undefined);
    const sidecar = await world.serve({ startup: 'strict' });
    sidecar.kill('SIGTERM');
    expect((await sidecar.ended).code).toBe(0);
  });

  it('exits 4 when the drain limit is hit, and says of what still runs that it may have been executed', async () => {
    await using api = await startSlowApi();
    await using world = await createWorld(api.url);
    const sidecar = await world.serve({ drain: { limit: '200ms' } });
    const answer = fetch(`${sidecar.url}/api/x`).then((response) => response.json());
    await api.untilAsked();
    sidecar.kill('SIGTERM');
    const { code, stdout } = await sidecar.ended;
    expect(code).toBe(4);
    expect(await answer).toMatchObject({ code: 'SIDECAR_STOPPED', mayHaveExecuted: true });
    expect(jsonLines(stdout).map(({ message }) => message)).toContainEqual(expect.stringMatching(/drain limit/));
  });

  it('goes on after a hang-up of its terminal', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    const sidecar = await world.serve();
    sidecar.kill('SIGHUP');
    await sidecar.untilStdout(/SIGHUP/);
    expect(await status(`${sidecar.adminUrl}/livez`)).toBe(200);
  });

  it('starts again on the same port, and the same socket, after kill -9', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    const socket = `unix:${world.folder.path}/sidecar.sock`;
    const port = await freePort();
    const listen = [`127.0.0.1:${port}`, socket];
    const first = await world.serve({ listen });
    // A connection that is open when it dies.
    await status(`http://127.0.0.1:${port}/unknown`);
    first.kill('SIGKILL');
    await first.ended;
    await world.serve({ listen });
    expect(await status(`http://127.0.0.1:${port}/unknown`)).toBe(404);
  });

  it.each([
    ['5 on refused credentials', json(401, { error: 'invalid_client' }), 5, /CREDENTIALS_REJECTED/],
    ['6 on an identity server in trouble', json(503, {}), 6, /TOKEN_UNAVAILABLE/],
    ['6 on nonsense', json(200, { hello: 1 }), 6, /TOKEN_UNAVAILABLE/],
  ])('with strict start-up exits %s', async (_what, answerer, code, message) => {
    await using world = await createWorld('http://127.0.0.1:9');
    world.identity.answerWith(answerer);
    const ended = await world.launch({ startup: 'strict' }).ended;
    expect(ended.code).toBe(code);
    expect(ended.stderr).toMatch(message);
    expect(ended.stderr + ended.stdout).not.toContain('CANARY');
  });

  it('with lenient start-up listens whatever the identity server says', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    world.identity.answerWith(json(401, { error: 'invalid_client' }));
    const { url, adminUrl } = await world.serve();
    expect(await status(`${adminUrl}/startupz`)).toBe(200);
    const answer = await fetch(`${url}/api/x`);
    expect([answer.status, answer.headers.get('x-sidecar-error')]).toEqual([503, 'CREDENTIALS_REJECTED']);
  });

  it('survives the longest durations that a configuration may hold', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    const timeouts = { callerHeaders: '24d', connect: '24d', firstByte: '24d', idle: '24d' };
    const token = { attemptTimeout: '24d', refreshBefore: '24d' };
    const sidecar = await world.serve({ timeouts, token, drain: { limit: '24d' } });
    await sidecar.untilStdout(/"token obtained"/);
    sidecar.kill('SIGTERM');
    expect(await sidecar.ended).toMatchObject({ code: 0, stderr: '' });
  });
});
