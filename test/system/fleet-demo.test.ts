// The demo of a fleet with the store that is installed: one token request for all, and nothing left behind.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { jsonLines, run, start } from '../support/cli.ts';
import { createFolder, type Folder } from '../support/folder.ts';
import { freePort } from '../support/free-port.ts';

const hasStore = ['valkey-server', 'redis-server'].some((program) => spawnSync(program, ['--version']).status === 0);
const ANY_PORTS = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--emulator', '127.0.0.1:0'];

interface Announced {
  readonly sidecars: readonly string[];
  readonly admins: readonly string[];
  readonly aritma: string;
  readonly store: string;
  readonly tokenRequests: number;
  readonly try: string;
}

/** What a program says that knows the store's address and not its password; undefined where nothing listens. */
async function askStore(url: string): Promise<string | undefined> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.on('connect', () => socket.write('KEYS *\r\n'));
  try {
    const [reply] = (await once(socket, 'data')) as [Buffer];
    return reply.toString();
  } catch {
    return undefined;
  } finally {
    socket.destroy();
  }
}

async function isServing(url: string): Promise<boolean> {
  return fetch(url).then(
    () => true,
    () => false,
  );
}

describe.skipIf(!hasStore && !process.env['CI'])('demo --fleet', () => {
  let folder: Folder;
  let env: Readonly<Record<string, string>>;
  beforeEach(() => {
    folder = createFolder();
    env = { PATH: process.env['PATH'] ?? '', TMPDIR: folder.path };
  });
  afterEach(() => folder[Symbol.dispose]());

  it('with --once calls through each sidecar, prints that one token request was enough, and exits 0', async () => {
    const { code, stdout, stderr } = await run(['demo', '--fleet', '3', '--once', ...ANY_PORTS], { env });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const lines = jsonLines(stdout);
    expect(lines.map(({ status, tokenRequests }) => status ?? tokenRequests)).toEqual([200, 200, 200, 1]);
    expect(new Set(lines.slice(0, 3).map(({ url }) => url)).size).toBe(3);
    expect(readdirSync(folder.path)).toEqual([]);
  });

  it('prints three addresses, a curl line that works and one token request; ends all of it on Ctrl-C', async () => {
    await using demo = start(['demo', '--fleet', '3', ...ANY_PORTS], { env });
    const [line] = await demo.untilStdout(/^.*"demo is running".*\n/m);
    const announced = JSON.parse(line) as Announced;
    expect([announced.sidecars.length, announced.admins.length, announced.tokenRequests]).toEqual([3, 3, 1]);
    const [, example = ''] = /^curl (http:\S+)$/.exec(announced.try) ?? [];
    for (const url of [example, ...announced.sidecars.map((base) => `${base}/banking/accounts`)]) {
      expect((await fetch(url)).status).toBe(200);
    }
    const counters = (await (await fetch(`${announced.aritma}/_emulator/counters`)).json()) as object;
    expect(counters).toMatchObject({ tokenRequests: 1, requests: { banking: 4 } });
    expect(await askStore(announced.store)).toMatch(/^-NOAUTH/);
    demo.kill('SIGINT');
    expect(await demo.ended).toMatchObject({ code: 0, stderr: '' });
    const { sidecars, admins, aritma, store } = announced;
    for (const url of [...sidecars, ...admins, aritma]) expect([url, await isServing(url)]).toEqual([url, false]);
    expect(await askStore(store)).toBeUndefined();
    expect(readdirSync(folder.path)).toEqual([]);
  });

  it('gives each further sidecar the next port, and starts nothing where one of them is taken', async () => {
    const [port, admin] = [await freePort(), await freePort()];
    const ports = ['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${admin}`, '--emulator', '127.0.0.1:0'];
    await using demo = start(['demo', '--fleet', '2', ...ports], { env });
    const [line] = await demo.untilStdout(/^.*"demo is running".*\n/m);
    const { sidecars, admins } = JSON.parse(line) as Announced;
    expect([sidecars, admins]).toEqual(
      [port, admin].map((first) => [0, 1].map((n) => `http://127.0.0.1:${first + n}`)),
    );
    using other = createFolder();
    const second = ['--listen', `127.0.0.1:${port - 1}`, '--admin', '127.0.0.1:0', '--emulator', '127.0.0.1:0'];
    const ended = await run(['demo', '--fleet', '2', '--once', ...second], { env: { ...env, TMPDIR: other.path } });
    expect(ended).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining(`127.0.0.1:${port}`) });
    expect(readdirSync(other.path)).toEqual([]);
    expect(readdirSync(folder.path).length).toBe(1);
    expect(await isServing(`http://127.0.0.1:${port - 1}`)).toBe(false);
    // By a signal that it sees: its store is a process of its own.
    demo.kill('SIGTERM');
    expect((await demo.ended).code).toBe(0);
  });

  it('takes the store with it when a second signal ends it at once', async () => {
    await using demo = start(['demo', '--fleet', '2', ...ANY_PORTS], { env });
    const [line] = await demo.untilStdout(/^.*"demo is running".*\n/m);
    const { sidecars, admins, store } = JSON.parse(line) as Announced;
    // A call that does not end, so that the drain waits for it.
    const { host, port } = new URL(sidecars[0] ?? '');
    const socket = connect(Number(port), '127.0.0.1').on('error', () => undefined);
    socket.write(`POST /echo HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 10\r\n\r\nx`);
    const metrics = async () => (await fetch(`${admins[0]}/metrics`)).text();
    await expect.poll(metrics).toMatch(/^aritma_sidecar_requests_in_flight\S* 1$/m);
    demo.kill('SIGINT');
    await demo.untilStdout(/"message":"stopping"/);
    demo.kill('SIGINT');
    expect(await demo.ended).toMatchObject({ code: 4, stderr: '' });
    socket.destroy();
    await expect.poll(() => askStore(store)).toBeUndefined();
    expect(readdirSync(folder.path)).toEqual([]);
  });
});
