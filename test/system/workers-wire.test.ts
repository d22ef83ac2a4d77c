// Several processes serve callers as one does: one token, one set of numbers, one log, limits that hold over all of them;
// and the end of one of them is nobody's but its own callers'.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Answer, Caller } from '../support/caller.ts';
import { createFolder } from '../support/folder.ts';
import { valuesOf } from '../support/messages.ts';
import { createProxyWorld, type ProxyWorld, type ProxyWorldOptions } from '../support/proxy-world.ts';
import { exchange, ok } from '../support/raw.ts';
import { grant } from '../support/token-server.ts';
import { workersOf } from '../support/worker-processes.ts';

const UNAUTHORIZED = 'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer error="invalid_token"\r\nContent-Length: 0\r\n\r\n';

const withWorkers = (options: ProxyWorldOptions = {}) =>
  createProxyWorld({ ...options, config: { workers: 2, ...options.config } });

const onLinux = it.skipIf(!existsSync('/proc/self/status'));

/** Request ids begin with what their process made up for itself. */
const workerOf = (answer: Answer) => answer.header('x-request-id')?.split('-')[0];

const get = (world: ProxyWorld, caller: Caller) => {
  caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
  return caller.answer();
};

const metrics = async (world: ProxyWorld) => (await fetch(`${world.sidecar.adminUrl}/metrics`)).text();
const metricOf = async (world: ProxyWorld, name: string) =>
  Number(new RegExp(`^aritma_sidecar_${name} (\\S+)$`, 'm').exec(await metrics(world))?.[1]);
const OF_200 = String.raw`requests_total\{route="/api",method="GET",code="200"\}`;

describe('callers of a sidecar with workers', () => {
  it('are spread over them evenly, and share one token that was asked for once', async () => {
    await using world = await withWorkers();
    const callers = await Promise.all(Array.from({ length: 20 }, () => world.open()));
    const answers = await Promise.all(callers.map((caller) => get(world, caller)));
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200));
    expect([...Map.groupBy(answers, workerOf).values()].map((group) => group.length)).toEqual([10, 10]);
    expect(new Set(answers.map((answer) => answer.header('x-request-id'))).size).toBe(20);
    for (const caller of callers) caller[Symbol.dispose]();
    expect(world.tokens.calls).toHaveLength(1);
    expect(new Set(world.upstream.received.flatMap((bytes) => bytes.match(/Bearer \S+/g)))).toEqual(
      new Set(['Bearer token-1']),
    );
  });

  it('wait for the first token by the hundred, and it is asked for once', async () => {
    await using world = await withWorkers({ config: { token: { attemptTimeout: '20s', waitTimeout: '20s' } } });
    const { promise, resolve } = Promise.withResolvers<void>();
    world.tokens.answerWith((res, call, count) => void promise.then(() => grant('late')(res, call, count)));
    const refreshed = fetch(`${world.sidecar.adminUrl}/token/refresh`, { method: 'POST' });
    await expect.poll(() => world.tokens.calls.length).toBe(2);
    const answers = Array.from({ length: 400 }, () => world.call('GET /api/x HTTP/1.1'));
    await expect.poll(world.inFlight, { timeout: 10_000 }).toBe(400);
    expect(world.upstream.connections).toBe(0);
    resolve();
    await refreshed;
    for (const answer of await Promise.all(answers)) expect(answer.status).toBe(200);
    expect(world.tokens.calls).toHaveLength(2);
    // 400 that waited, each counted once, whoever did it.
    const lookups = [...(await metrics(world)).matchAll(/token_lookups_total\{[^}]*\} (\d+)/g)];
    expect(lookups.reduce((sum, [, count]) => sum + Number(count), 0)).toBe(400);
  });

  it('whose token an API refuses get another one, asked for once by all of them', async () => {
    const held: (() => void)[] = [];
    await using world = await withWorkers({
      answer(request) {
        const { socket } = request;
        if (!valuesOf(request, 'authorization').includes('Bearer token-1')) return ok('fine');
        held.push(() => socket.write(UNAUTHORIZED));
        return undefined;
      },
    });
    const startedAt = performance.now();
    const answers = Array.from({ length: 50 }, () => world.call('GET /api/x HTTP/1.1'));
    await world.upstream.untilRequests(50);
    // A token of less than a second is not asked for again.
    await setTimeout(Math.max(0, 1100 - (performance.now() - startedAt)));
    for (const refuse of held) refuse();
    const done = await Promise.all(answers);
    expect(done.map(({ status }) => status)).toEqual(Array(50).fill(200));
    expect(new Set(done.map(workerOf)).size).toBe(2);
    expect(world.tokens.calls).toHaveLength(2);
  });

  it('have their requests in a minute counted together', async () => {
    await using world = await withWorkers({ config: { callers: { limits: { requestsPerMinute: 12 } } } });
    const answers = await Promise.all(Array.from({ length: 30 }, () => world.call('GET /api/x HTTP/1.1')));
    expect(Map.groupBy(answers, ({ status }) => status).get(200)).toHaveLength(12);
    expect(Map.groupBy(answers, ({ status }) => status).get(429)).toHaveLength(18);
    expect(world.upstream.requests).toHaveLength(12);
  });

  it('have their connections bounded together', async () => {
    await using world = await withWorkers({ config: { limits: { connections: 5 } }, answer: () => undefined });
    const callers = await Promise.all(Array.from({ length: 5 }, () => world.open()));
    for (const caller of callers) caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    await world.upstream.untilRequests(5);
    using surplus = await world.open();
    expect((await surplus.answer()).header('x-sidecar-error')).toBe('SIDECAR_OVERLOADED');
    callers[0]?.[Symbol.dispose]();
    await expect.poll(world.inFlight).toBe(4);
    using next = await world.open();
    next.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    await world.upstream.untilRequests(6);
    for (const caller of callers) caller[Symbol.dispose]();
  });
});

describe('a worker that is killed', () => {
  onLinux(
    'takes its own connections along and nobody else’s, is replaced, and nothing it counted is lost',
    async () => {
      await using world = await withWorkers();
      const callers = await Promise.all(Array.from({ length: 10 }, () => world.open()));
      const before = await Promise.all(callers.map((caller) => get(world, caller)));
      const counted = await metricOf(world, OF_200);
      expect(counted).toBe(10);
      const [victim = 0, survivor] = workersOf(process.pid);
      process.kill(victim, 'SIGKILL');
      // New ones get through at any moment of it.
      for (let round = 0; round < 20; round += 1) {
        const answers = await Promise.all(Array.from({ length: 5 }, () => world.call('GET /api/x HTTP/1.1')));
        expect(answers.map(({ status }) => status)).toEqual(Array(5).fill(200));
      }
      await expect.poll(() => callers.filter(({ ending }) => ending !== undefined).length).toBe(5);
      const left = callers
        .map((caller, index) => ({ caller, before: before[index] }))
        .filter(({ caller }) => !caller.ending);
      for (const { caller, before: first } of left) {
        const answer = await get(world, caller);
        expect([answer.status, workerOf(answer)]).toEqual([200, first && workerOf(first)]);
      }
      await expect.poll(() => metricOf(world, 'workers_running')).toBe(2);
      expect(workersOf(process.pid)).toContain(survivor);
      expect(await metricOf(world, 'worker_restarts_total')).toBe(1);
      expect(await metricOf(world, OF_200)).toBe(counted + 105);
      const said = world.sidecar.logs.filter(({ level }) => level === 'error');
      expect(said).toMatchObject([{ pid: victim, reason: 'SIGKILL' }]);
      for (const caller of callers) caller[Symbol.dispose]();
    },
  );

  onLinux(
    'with all others leaves the sidecar not ready, and whoever connects meanwhile waits for the next',
    async () => {
      await using world = await withWorkers();
      for (const pid of workersOf(process.pid)) process.kill(pid, 'SIGKILL');
      await expect
        .poll(async () => (await fetch(`${world.sidecar.adminUrl}/readyz`)).status, { interval: 1 })
        .toBe(503);
      expect((await world.call('GET /api/x HTTP/1.1')).status).toBe(200);
      expect((await fetch(`${world.sidecar.adminUrl}/readyz`)).status).toBe(200);
    },
  );

  onLinux('gives back the places of its requests', async () => {
    const limits = { inFlight: 4 };
    await using world = await withWorkers({ answer: () => undefined, config: { callers: { limits } } });
    const callers = await Promise.all(Array.from({ length: 4 }, () => world.open()));
    for (const caller of callers) caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    await world.upstream.untilRequests(4);
    expect((await world.call('GET /api/x HTTP/1.1')).status).toBe(429);
    process.kill(workersOf(process.pid)[0] ?? 0, 'SIGKILL');
    await expect.poll(() => callers.filter(({ ending }) => ending !== undefined).length).toBe(2);
    using next = await world.open();
    next.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    await world.upstream.untilRequests(5);
    expect(await world.inFlight()).toBe(3);
    for (const caller of callers) caller[Symbol.dispose]();
  });
});

/** The same calls, whatever serves them: fine, refused, unknown, broken, with a body, with an Authorization. */
async function callAll(world: ProxyWorld): Promise<void> {
  await world.call('GET /api/x?secret=1 HTTP/1.1');
  await world.call('POST /api/pay HTTP/1.1', 'Content-Length: 2\r\n\r\nhi');
  await world.call('GET /api/broken HTTP/1.1');
  await world.call('GET /nowhere HTTP/1.1');
  await world.call('GET /api/x HTTP/1.1', 'Authorization: Bearer of-the-caller\r\n\r\n');
  await world.call('PROPFIND /api/x HTTP/1.1');
  await world.call('GET /api/../x HTTP/1.1');
  await world.call('GET /api/x HTTP/1.1', 'Origin: https://evil.example\r\n\r\n');
}

/** Without what differs from run to run. */
function comparable(text: string): string[] {
  return text
    .split('\n')
    .filter(
      (line) => /^aritma_sidecar_/.test(line) && !/seconds(?:_sum|_bucket)?[ {]|^aritma_sidecar_workers?_/.test(line),
    )
    .sort();
}

describe('what is left of requests', () => {
  it('is the same in metrics, log, history and audit log as with one process', async () => {
    const [one, two] = await Promise.all(
      [1, 2].map(async (workers) => {
        using folder = createFolder();
        const file = `${folder.path}/audit.jsonl`;
        await using world = await createProxyWorld({
          config: { workers, audit: { file } },
          answer: ({ target, socket }) => (target === '/broken' ? void socket.destroy() : ok('fine')),
        });
        await callAll(world);
        const numbers = comparable(await metrics(world));
        const logs = world.sidecar.logs.filter(({ message }) => message === 'request');
        const seen = (await (await fetch(`${world.sidecar.adminUrl}/status`)).json()) as {
          routes: { last5m: { requests: number; errors: number } }[];
          recentErrors: { code?: string; status: number }[];
        };
        await world.sidecar.stop();
        const audit = readFileSync(file, 'utf8').trim().split('\n');
        const facts = audit.map((line) => JSON.parse(line) as Record<string, unknown>);
        return {
          numbers,
          logs: logs
            .map(({ time: _time, requestId: _id, ms: _ms, upstreamMs: _upstream, ...rest }) => JSON.stringify(rest))
            .sort(),
          recent: seen.recentErrors.map(({ code, status }) => `${code} ${status}`).sort(),
          minutes: seen.routes.map(({ last5m: { requests, errors } }) => [requests, errors]),
          facts: facts
            .map(({ event, method, path, status, sha256 }) => [event, method, path, status, sha256].join())
            .sort(),
        };
      }),
    );
    expect(two).toEqual(one);
    expect(one?.logs).toHaveLength(8);
  });
});

/** What a connection is sent, whole, and how it goes on; answers are compared byte for byte. */
const SCRIPTS: readonly (readonly [name: string, bytes: string, halfClosed?: true])[] = [
  [
    'two pipelined requests',
    'GET /api/a HTTP/1.1\r\nHOST\r\nPOST /api/b HTTP/1.1\r\nHOSTConnection: close\r\nContent-Length: 2\r\n\r\nhi',
  ],
  [
    'chunks with trailers',
    'POST /api/a HTTP/1.1\r\nHOSTConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n0\r\nX-T: 1\r\n\r\n',
  ],
  [
    'a large body',
    `PUT /api/a HTTP/1.1\r\nHOSTConnection: close\r\nContent-Length: 200000\r\n\r\n${'x'.repeat(200_000)}`,
  ],
  [
    'an expectation',
    'POST /api/a HTTP/1.1\r\nHOSTConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi',
  ],
  ['HTTP/1.0 without Host', 'GET /api/a HTTP/1.0\r\n\r\n'],
  [
    'a caller that half-closes before its request is whole',
    'POST /api/a HTTP/1.1\r\nHOSTContent-Length: 9\r\n\r\nhi',
    true,
  ],
  ['both lengths', 'POST /api/a HTTP/1.1\r\nHOSTContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['a bad chunk size', 'POST /api/a HTTP/1.1\r\nHOSTTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n'],
  ['no HTTP at all', 'garbage\r\n\r\n'],
  ['headers without end', `GET /api/a HTTP/1.1\r\nHOST${'X-Long: '.padEnd(20_000, 'y')}\r\n\r\n`],
  ['CONNECT', 'CONNECT x:1 HTTP/1.1\r\nHOST\r\n'],
  ['a foreign Host', 'GET /api/a HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n'],
  ['an API that breaks off', 'GET /api/broken HTTP/1.1\r\nHOSTConnection: close\r\n\r\n'],
];

describe('bytes on a connection', () => {
  it('are answered as by one process, and so is what the API sees of them', async () => {
    const [one, two] = await Promise.all(
      [1, 2].map(async (workers) => {
        await using world = await createProxyWorld({
          config: { workers },
          answer({ method, target, body, socket }) {
            if (target !== '/broken') return ok(`${method} ${target} ${body.length}`);
            socket.destroy();
            return undefined;
          },
        });
        const seen: Record<string, readonly string[]> = {};
        for (const [name, bytes, halfClosed = false] of SCRIPTS) {
          const before = world.upstream.requests.length;
          const answer = await exchange(world.sidecar.port, bytes.replaceAll('HOST', world.host), {
            hold: !halfClosed,
          });
          const requests = world.upstream.requests
            .slice(before)
            .map(({ startLine, framing, body }) => `${startLine} ${framing} ${body.length}`);
          seen[name] = [answer.replace(/\b[0-9a-f]{12}-\w+|^Date: .*$/gm, ''), ...requests];
        }
        return seen;
      }),
    );
    expect(two).toEqual(one);
    expect(
      Object.values(one ?? {})
        .flat()
        .join(''),
    ).toMatch(/GET \/a 0.*POST \/b 2.*PUT \/a 200000/s);
  });
});

describe('a sidecar with workers', () => {
  it('lets running requests finish when it stops, takes no new ones, and its workers end', async () => {
    await using world = await withWorkers({ answer: () => undefined });
    const callers = await Promise.all(Array.from({ length: 4 }, () => world.open()));
    using idle = await world.open();
    await setTimeout(0);
    for (const caller of callers) caller.send(`POST /api/x HTTP/1.1\r\n${world.host}Content-Length: 2\r\n\r\nhi`);
    await world.upstream.untilRequests(4);
    const stopped = world.sidecar.stop();
    expect(await idle.ended()).toBe('end');
    await expect.poll(() => refuses(world.sidecar.port)).toBe(true);
    for (const { socket } of world.upstream.requests) socket.write(ok('done'));
    for (const caller of callers) {
      const answer = await caller.answer();
      expect([answer.body, answer.header('connection')]).toEqual(['done', 'close']);
      expect(await caller.ended()).toBe('end');
    }
    expect(await stopped).toBe(true);
    if (existsSync('/proc/self/status')) expect(workersOf(process.pid)).toEqual([]);
    for (const caller of callers) caller[Symbol.dispose]();
  });

  it('cuts what still runs at the drain limit, and says so', async () => {
    await using world = await withWorkers({ answer: () => undefined, config: { drain: { limit: '200ms' } } });
    using caller = await world.open();
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    await world.upstream.untilRequests(1);
    expect(await world.sidecar.stop()).toBe(false);
    expect(await caller.ended()).toMatch(/end|reset/);
    expect(world.sidecar.logs.filter(({ message }) => message === 'request')).toMatchObject([{ status: 499 }]);
  });

  it('takes a new configuration in all of them; running requests keep theirs', async () => {
    await using world = await withWorkers({ answer: ({ target }) => (target === '/slow' ? undefined : ok('fine')) });
    const callers = await Promise.all(Array.from({ length: 4 }, () => world.open()));
    for (const caller of callers) caller.send(`GET /api/slow HTTP/1.1\r\n${world.host}\r\n`);
    await world.upstream.untilRequests(4);
    const text = readFileSync(world.sidecar.file, 'utf8');
    writeFileSync(
      world.sidecar.file,
      text.replace('"path":"/api"', '"path":"/new"').replace('"scope":"api"', '"scope":"b"'),
    );
    world.sidecar.reload();
    await expect.poll(() => world.tokens.calls.length).toBe(2);
    const answers = await Promise.all(Array.from({ length: 8 }, () => world.call('GET /new/x HTTP/1.1')));
    expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200));
    expect((await world.call('GET /api/x HTTP/1.1')).status).toBe(404);
    for (const { socket, target } of world.upstream.requests) if (target === '/slow') socket.write(ok('old'));
    for (const caller of callers) expect((await caller.answer()).body).toBe('old');
    const tokens = world.upstream.requests.map((one) => `${one.target} ${valuesOf(one, 'authorization')}`);
    expect(new Set(tokens)).toEqual(new Set(['/slow Bearer token-1', '/x Bearer token-2']));
    for (const caller of callers) caller[Symbol.dispose]();
  });

  it('serves a Unix socket', async () => {
    using folder = createFolder();
    const socketPath = `${folder.path}/callers.sock`;
    await using world = await withWorkers({ config: { listen: [`unix:${socketPath}`, '127.0.0.1:0'] } });
    const answer = await new Promise<string>((resolve, reject) => {
      const request = httpRequest({ socketPath, path: '/api/x', headers: { host: 'localhost' } }, (res) => {
        res.on('data', (chunk) => resolve(`${res.statusCode} ${chunk}`));
      });
      request.on('error', reject).end();
    });
    expect(answer).toBe('200 fine');
    expect(world.upstream.requests).toHaveLength(1);
  });

  it('ends callers that are too slow with their headers', async () => {
    await using world = await withWorkers({ config: { timeouts: { callerHeaders: '300ms' } } });
    using caller = await world.open();
    caller.send('GET /api/x HTT');
    expect((await caller.answer()).status).toBe(408);
  });

  it('says that another number of them takes effect at the next start', async () => {
    await using world = await withWorkers();
    const text = readFileSync(world.sidecar.file, 'utf8');
    writeFileSync(world.sidecar.file, text.replace('"workers":2', '"workers":3'));
    world.sidecar.reload();
    const said = world.sidecar.logs.filter(({ level }) => level === 'warn').map(({ problem }) => problem);
    expect(said).toContain('workers has changed; that takes effect at the next start');
  });
});

function refuses(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(false)).once('error', () => resolve(true));
    socket.once('connect', () => socket.destroy());
  });
}
