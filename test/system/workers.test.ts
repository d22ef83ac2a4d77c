// Worker processes from outside, the way an operator or an attacker sees them: what they hold, and how they end.
import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { describe, expect, it } from 'vitest';
import { startPacedLoad } from '../support/paced-load.ts';
import { ok } from '../support/raw.ts';
import { startSidecarProcess } from '../support/sidecar-process.ts';
import { grant, startTokenServer } from '../support/token-server.ts';
import { until } from '../support/until.ts';
import { startUpstream } from '../support/upstream.ts';
import { isAlive, workersOf } from '../support/worker-processes.ts';

/** What `startSidecarProcess` writes into the file with the secret. */
const SECRET = 'secret-of-the-test';
const CROWD = 3000;

async function createWorld(config: Readonly<Record<string, unknown>> = {}) {
  const upstream = await startUpstream(() => ok('fine'));
  const tokens = await startTokenServer();
  tokens.answerWith(grant('TOKEN-of-the-test'));
  const sidecar = await startSidecarProcess({
    upstream: upstream.url,
    tokenEndpoint: tokens.url,
    config: { workers: 2, ...config },
  });
  return {
    upstream,
    tokens,
    sidecar,
    url: `http://127.0.0.1:${sidecar.port}/api/x`,
    async [Symbol.asyncDispose]() {
      await sidecar[Symbol.asyncDispose]();
      await tokens.close();
      await upstream[Symbol.asyncDispose]();
    },
  };
}

/** Everything a process can read of itself. */
function memoryHas(pid: number, text: string): boolean {
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    return readFileSync(`/proc/${pid}/maps`, 'latin1')
      .split('\n')
      .some((line) => {
        const [, from = '', to = ''] = /^([0-9a-f]+)-([0-9a-f]+) r/.exec(line) ?? [];
        // Reserved address space that was never touched has nothing in it, and the kernel's own pages cannot be read.
        const size = Number(`0x${to}`) - Number(`0x${from}`);
        return size > 0 && size < 2 ** 31 && rangeHas({ memory, from: Number(`0x${from}`), size }, text);
      });
  } finally {
    closeSync(memory);
  }
}

const PIECE_BYTES = 4 * 1024 * 1024;

function rangeHas({ memory, from, size }: { memory: number; from: number; size: number }, text: string): boolean {
  const piece = Buffer.alloc(PIECE_BYTES + text.length);
  for (let at = 0; at < size; at += PIECE_BYTES) {
    try {
      const read = readSync(memory, piece, 0, Math.min(piece.length, size - at), from + at);
      // V8 keeps strings of one byte a character as they are.
      if (piece.subarray(0, read).includes(text)) return true;
    } catch {
      // Given back since the map was read, or not ours to read.
    }
  }
  return false;
}

describe.skipIf(!existsSync('/proc/self/mem'))('workers', () => {
  it('have the token and never the client secret: not in memory, nor environment, nor arguments', async () => {
    await using world = await createWorld();
    const load = startPacedLoad([world.url], 100);
    await until('requests have been served', () => world.upstream.requests.length > 100, 15_000);
    expect((await load.stop()).failed).toBe(0);
    const workers = workersOf(world.sidecar.pid);
    expect(workers).toHaveLength(2);
    for (const pid of workers) {
      expect(memoryHas(pid, SECRET)).toBe(false);
      // That this way of looking finds what is there.
      expect(memoryHas(pid, 'TOKEN-of-the-test')).toBe(true);
      for (const file of ['environ', 'cmdline']) {
        expect(readFileSync(`/proc/${pid}/${file}`, 'latin1')).not.toMatch(/secret|ARITMA_|--config/);
      }
    }
    expect(memoryHas(world.sidecar.pid, SECRET)).toBe(true);
  });

  it('end at once when the process with the tokens is killed', async () => {
    await using world = await createWorld();
    const workers = workersOf(world.sidecar.pid);
    process.kill(world.sidecar.pid, 'SIGKILL');
    await until('the workers are gone', () => !workers.some(isAlive), 2000);
  });

  it('end with it when it is asked to stop, or told twice', async () => {
    await using world = await createWorld();
    const workers = workersOf(world.sidecar.pid);
    // As a terminal or a service manager does, to all of them.
    for (const pid of workers) process.kill(pid, 'SIGTERM');
    expect((await fetch(world.url)).status).toBe(200);
    const { code, stderr } = await world.sidecar.stop();
    expect([code, stderr]).toEqual([0, '']);
    expect(workers.some(isAlive)).toBe(false);
  });

  it('serve thousands who come before the first token with one token request', async () => {
    await using world = await createWorld({
      limits: { connections: CROWD + 100 },
      // However long a busy machine takes to connect all of them.
      token: { attemptTimeout: '60s', waitTimeout: '60s' },
    });
    const { promise: release, resolve } = Promise.withResolvers<void>();
    world.tokens.answerWith((res, call, count) => void release.then(() => grant('late')(res, call, count)));
    const refreshed = fetch(`${world.sidecar.adminUrl}/token/refresh`, { method: 'POST' });
    await until('the token is being asked for', () => world.tokens.calls.length === 2);
    const agent = new Agent({ maxSockets: CROWD });
    const statuses = Array.from(
      { length: CROWD },
      () =>
        new Promise<number | undefined>((done, reject) => {
          get(world.url, { agent }, (res) => res.resume().once('end', () => done(res.statusCode))).once(
            'error',
            reject,
          );
        }),
    );
    await until(
      'all of them wait',
      async () => (await world.sidecar.metric('aritma_sidecar_requests_in_flight')) === CROWD,
      40_000,
    );
    resolve();
    await refreshed;
    expect(new Set(await Promise.all(statuses))).toEqual(new Set([200]));
    expect(world.tokens.calls).toHaveLength(2);
    agent.destroy();
  }, 60_000);

  it('are killed one after the other under load, and only what ran in them is lost', async () => {
    await using world = await createWorld();
    const agent = new Agent({ keepAlive: false });
    const failures: string[] = [];
    let served = 0;
    let goesOn = true;
    // A connection for each request: what is lost is at most what a worker had begun when it was killed.
    const callers = Array.from({ length: 4 }, async () => {
      while (goesOn) {
        await new Promise<void>((done) => {
          get(world.url, { agent }, (res) => {
            served += res.statusCode === 200 ? 1 : 0;
            if (res.statusCode !== 200) failures.push(String(res.statusCode));
            res.resume().once('close', done);
          }).once('error', (error: NodeJS.ErrnoException) => {
            failures.push(String(error.code));
            done();
          });
        });
      }
    });
    for (let kill = 1; kill <= 4; kill += 1) {
      const goal = served + 100;
      await until('requests are served', () => served >= goal, 15_000);
      process.kill(workersOf(world.sidecar.pid)[0] ?? 0, 'SIGKILL');
      await until(
        'it is replaced',
        async () => (await world.sidecar.metric('aritma_sidecar_worker_restarts_total')) === kill,
      );
      await until('all run', async () => (await world.sidecar.metric('aritma_sidecar_workers_running')) === 2, 15_000);
    }
    goesOn = false;
    await Promise.all(callers);
    // At most four callers had a request in the one that was killed.
    expect(failures.length).toBeLessThanOrEqual(4 * 4);
    expect(failures.filter((failure) => failure !== 'ECONNRESET')).toEqual([]);
  });
});
