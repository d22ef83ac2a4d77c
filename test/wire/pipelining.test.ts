// How far a connection is read ahead of what it is served, on both listeners: a few requests in order, and no flood.
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { openCaller } from '../support/caller.ts';
import { openFlood } from '../support/flood.ts';
import { createProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';
import { until } from '../support/until.ts';
import { untilStill } from '../support/until-still.ts';

const MIB = 1024 * 1024;
const targets = (count: number) => Array.from({ length: count }, (_, index) => `/${index}`);
/** What kernels take of a connection that nobody reads, and what a server may read at once. */
const IN_BUFFERS = 8 * MIB;
const FLOOD = 'GET /x HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(600_000);

async function unreadOf(socket: Socket): Promise<number> {
  await untilStill(() => socket.writableLength);
  return socket.writableLength;
}

describe('src/proxy/request.ts requests behind an unfinished one', () => {
  const lines = (host: string, count: number) =>
    targets(count)
      .map((target) => `GET /api${target} HTTP/1.1\r\n${host}\r\n`)
      .join('');

  it('are served in order, and their connection stays', async () => {
    await using world = await createProxyWorld({ answer: ({ target }) => ok(target) });
    using caller = await world.open();
    for (let round = 0; round < 3; round += 1) {
      caller.send(lines(world.host, 128));
      for (const target of targets(128)) {
        const answer = await caller.answer();
        expect([answer.body, answer.header('connection')]).toEqual([target, 'keep-alive']);
      }
    }
  });

  it.each([
    { what: 'bodies', method: 'POST', rest: 'Content-Length: 5\r\n\r\nhello' },
    { what: 'chunks', method: 'POST', rest: 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n' },
    { what: 'expectations', method: 'POST', rest: 'Expect: 100-continue\r\nContent-Length: 0\r\n\r\n' },
    { what: 'offers of an upgrade', method: 'GET', rest: 'Connection: upgrade\r\nUpgrade: x\r\n\r\n' },
    { what: 'CONNECT', method: 'CONNECT', rest: '\r\n' },
  ])(
    'end their connection after the hundred and twenty-ninth, whose response says so, also with $what behind',
    async (behind) => {
      await using world = await createProxyWorld({ answer: ({ target }) => ok(target) });
      using caller = await world.open();
      caller.send(
        lines(world.host, 129) + `${behind.method} /api/y HTTP/1.1\r\n${world.host}${behind.rest}`.repeat(10),
      );
      for (const target of targets(129)) {
        const answer = await caller.answer();
        expect([answer.body, answer.header('connection')]).toEqual([
          target,
          target === '/128' ? 'close' : 'keep-alive',
        ]);
      }
      expect(await caller.ended()).toBe('end');
      expect(world.upstream.requests.map(({ target }) => target)).toEqual(targets(129));
      await expect.poll(world.inFlight).toBe(0);
    },
  );

  it('are read no further while it waits, and all of them are gone when the caller is', async () => {
    await using world = await createProxyWorld({ answer: () => undefined });
    using caller = await world.open();
    caller.send(`POST /api/first HTTP/1.1\r\n${world.host}Content-Length: 2\r\n\r\nhi${FLOOD}`);
    await world.upstream.untilRequests(1);
    expect(await unreadOf(caller.socket)).toBeGreaterThan(FLOOD.length - IN_BUFFERS);
    expect(await world.inFlight()).toBe(129);
    world.upstream.requests[0]?.socket.write(ok('paid'));
    expect((await caller.answer()).body).toBe('paid');
    caller.socket.destroy();
    await expect.poll(world.inFlight).toBe(0);
    expect(world.upstream.requests.length).toBeLessThanOrEqual(2);
    expect((await world.call('GET /nowhere HTTP/1.1')).status).toBe(404);
  });

  it('are fewer where all connections together have hundreds', async () => {
    await using world = await createProxyWorld({ answer: () => undefined });
    using flood = await openFlood(world.sidecar.port, 200);
    for (const caller of flood.callers) caller.send(lines(world.host, 100));
    await until('all has been read', async () => (await world.inFlight()) >= 512);
    const inFlight = { now: 0 };
    await untilStill(() => {
      void world.inFlight().then((now) => {
        inFlight.now = now;
      });
      return inFlight.now;
    });
    expect(inFlight.now).toBeLessThan(512 + 128 + 200 * 9);
  });

  it('get their large responses whole, one after the other', async () => {
    const body = 'x'.repeat(MIB / 8);
    await using world = await createProxyWorld({ answer: ({ target }) => ok(target + body) });
    using caller = await world.open({ paused: true });
    caller.send(lines(world.host, 129));
    await untilStill(() => world.upstream.requests.length);
    caller.read();
    for (const target of targets(129)) expect((await caller.answer()).body).toBe(target + body);
    expect(await caller.ended()).toBe('end');
  });

  it('are all read by a server that does nothing about it', async () => {
    let begun = 0;
    const server = createServer(() => {
      begun += 1;
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => undefined);
    socket.write(FLOOD.slice(0, FLOOD.length / 20));
    await expect.poll(() => begun).toBe(30_000);
    socket.destroy();
    server.close();
  });
});

describe('src/admin/server.ts requests behind an unfinished one', () => {
  it('are answered, four of them, in order, and then their connection ends', async () => {
    await using world = await createProxyWorld();
    using caller = await openCaller(Number(new URL(world.sidecar.adminUrl).port));
    const host = `Host: ${new URL(world.sidecar.adminUrl).host}\r\n`;
    const get = (path: string) => `GET ${path} HTTP/1.1\r\n${host}\r\n`;
    caller.send(get('/livez') + get('/readyz') + get('/nothing') + get('/metrics').repeat(10));
    const answers = [];
    for (let count = 0; count < 4; count += 1) answers.push(await caller.answer());
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 404, 200]);
    expect(answers.map((answer) => answer.header('connection'))).toEqual([...Array(3).fill('keep-alive'), 'close']);
    expect(await caller.ended()).toBe('end');
  });

  it('are read no further, however many there are and whether or not the answers are read', async () => {
    await using world = await createProxyWorld();
    const { host, port } = new URL(world.sidecar.adminUrl);
    using caller = await openCaller(Number(port), { paused: true });
    caller.send(`GET /metrics HTTP/1.1\r\nHost: ${host}\r\n\r\n`.repeat(300_000));
    await untilStill(() => caller.socket.writableLength);
    expect((await fetch(`${world.sidecar.adminUrl}/livez`)).status).toBe(200);
    caller.read();
    await caller.ended();
    expect(caller.received.split('HTTP/1.1 200 OK').length - 1).toBeLessThanOrEqual(4);
  });
});
