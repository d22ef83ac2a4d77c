// The stop does not depend on who reads the log: whatever standard output and error are, and whatever is under way, the process
// ends in time and with the exit code it promises.
import { spawnSync } from 'node:child_process';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { start } from '../support/cli.ts';
import { startRawUpstream } from '../support/raw.ts';
import { until } from '../support/until.ts';
import { SWITCH } from '../support/upgrade-world.ts';
import { createWorld, type World } from '../support/world.ts';

const installed = spawnSync('python3', ['--version']).status === 0;
const STDIO = join(import.meta.dirname, 'stdio.py');
const MAIN = join(import.meta.dirname, '../../src/main.ts');
const OUT = ['read', 'pipe', 'closed pipe', 'socket', 'closed socket', 'full disk', 'terminal', 'nothing'];
const DRAIN_LIMIT_S = 1;
/** The limit and two seconds, and what this machine may be late; without an end of its own, the process would never end. */
const IN_TIME_MS = (DRAIN_LIMIT_S + 2) * 1000 + 7000;

/** Holds what it is given: a tunnel, or a response that goes on for ever. */
const startApi = () =>
  startRawUpstream((socket, received) => {
    if (!received.endsWith('\r\n\r\n')) return;
    socket.write(received.includes('Upgrade: ') ? SWITCH : 'HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegun');
  });

describe.skipIf(!installed && !process.env['CI'])('the stop', () => {
  let api: Awaited<ReturnType<typeof startApi>>;
  let world: World;
  beforeAll(async () => {
    api = await startApi();
    world = await createWorld(api.url);
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
    await api.close();
  });

  /** A sidecar behind these outputs that has written more log than fits; its paths are unique in the run. */
  async function serve(name: string, out: string, err: string) {
    const [calls, admin] = [join(world.folder.path, `${name}.calls`), join(world.folder.path, `${name}.admin`)];
    const running = world.launch(
      {
        ...{ listen: `unix:${calls}`, admin: `unix:${admin}`, log: { level: 'debug', format: 'json' } },
        drain: { limit: `${DRAIN_LIMIT_S}s` },
        routes: [{ path: '/api', upstream: api.url, upgrade: true }],
      },
      { program: ['python3', STDIO, out, err, process.execPath, MAIN, 'serve'], env: { PATH: '/usr/bin:/bin' } },
    );
    await until(`${name} is ready`, async () => (await say(admin, 'GET /readyz HTTP/1.0\r\n\r\n')).includes(' 200 '));
    return { running, calls };
  }

  async function stopped(running: ReturnType<World['launch']>) {
    const before = performance.now();
    running.kill('SIGTERM');
    const { code } = await running.ended;
    const ms = performance.now() - before;
    return { code, inTime: ms < IN_TIME_MS };
  }

  for (const out of OUT) {
    it.concurrent.each([...OUT, 'same'])(
      `ends with 0 when standard output is "${out}" and error is "%s"`,
      async (err) => {
        const { running } = await serve(`${out}-${err}`.replaceAll(' ', '_'), out, err);
        expect(await stopped(running)).toEqual({ code: 0, inTime: true });
      },
    );

    it.concurrent(`ends with 4 when a tunnel and a slow caller are cut off, and standard output and error are "${out}"`, async () => {
      const { running, calls } = await serve(`busy-${out}`.replaceAll(' ', '_'), out, 'same');
      const offer = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
      using tunnel = open(
        calls,
        `GET /api/ws HTTP/1.1\r\nHost: localhost\r\n${offer}Sec-WebSocket-Version: 13\r\n\r\n`,
      );
      using slow = open(calls, 'GET /api/slow HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await until('both are under way', () => tunnel.received().includes(' 101 ') && slow.received().includes('begun'));
      expect(await stopped(running)).toEqual({ code: 4, inTime: true });
    });
  }

  it.concurrent.each(['pipe', 'terminal'])(
    'ends with 0 when standard output is a "%s" that another program has set back to blocking',
    async (out) => {
      const { running, calls } = await serve(`set-back-${out}`, out, 'same');
      running.kill('SIGUSR1');
      for (let i = 0; i < 3; i += 1) await say(calls, 'GET /nowhere HTTP/1.0\r\n\r\n');
      expect(await stopped(running)).toEqual({ code: 0, inTime: true });
    },
  );

  it.each(OUT)('does not wait for ever for the last words of a crash when standard error is "%s"', async (err) => {
    const stdio = join(import.meta.dirname, '../../src/core/stdio.ts');
    const crash = `process.stderr.on('error', () => {}); import('${stdio}').then(({ writeBounded }) => { writeBounded(2, 'a crash'); process.exit(1); })`;
    const program = ['python3', STDIO, 'read', err, process.execPath, '--no-warnings', '-e', crash];
    await using running = start([], { program, env: { PATH: '/usr/bin:/bin' } });
    expect((await running.ended).code).toBe(1);
  });

  it('does not end a program that writes to what it has inherited (the test can tell)', async () => {
    // As Node itself does on a terminal: the signal's turn does not come before the write is done.
    const naive = `process.on('SIGTERM', () => process.exit(0)); require('node:fs').writeFileSync('${world.folder.path}/naive', '1');
      require('node:fs').writeSync(1, 'x')`;
    await using running = start([], {
      program: ['python3', STDIO, 'terminal', 'read', process.execPath, '-e', `${naive}; setInterval(() => {}, 1000)`],
    });
    await until('it has started', () => spawnSync('test', ['-e', join(world.folder.path, 'naive')]).status === 0);
    let ended = false;
    void running.ended.then(() => {
      ended = true;
    });
    running.kill('SIGTERM');
    await new Promise((resolve) => setTimeout(resolve, (DRAIN_LIMIT_S + 2) * 1000));
    expect(ended).toBe(false);
  });
});

/** A connection to a Unix socket that has sent this. */
function open(path: string, bytes: string) {
  let received = '';
  const socket = connect({ path }).on('error', () => undefined);
  socket.setEncoding('latin1').on('data', (text: string) => {
    received += text;
  });
  socket.write(bytes);
  return { socket, received: () => received, [Symbol.dispose]: () => void socket.destroy() };
}

/** What comes back until the other side closes; empty when nobody listens. */
async function say(path: string, bytes: string): Promise<string> {
  const { socket, received } = open(path, bytes);
  await new Promise((resolve) => socket.once('close', resolve));
  return received();
}
