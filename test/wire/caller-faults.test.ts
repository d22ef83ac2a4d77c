// Callers that leave, stall, half-close, send nonsense or ask for a tunnel: the API never takes half a request for a
// whole one, nobody else notices, and no answer is mistaken for another.
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createDeadline } from '../support/deadline.ts';
import { startOwnTime, untilQuiet } from '../support/own-time.ts';
import { createProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';
import { untilStill } from '../support/until-still.ts';

const MIB = 1024 * 1024;

describe('a caller that leaves', () => {
  it.each([
    ['a length', 'Content-Length: 3000000\r\n\r\n'],
    ['chunks', 'Transfer-Encoding: chunked\r\n\r\n200000\r\n'],
  ])(
    'in the middle of a large upload with %s closes the connection to the API, whole request or none',
    async (_case, head) => {
      for (const leave of ['destroy', 'end', 'resetAndDestroy'] as const) {
        await using world = await createProxyWorld();
        using caller = await world.open();
        caller.send(`POST /api/x HTTP/1.1\r\n${world.host}${head}${'x'.repeat(MIB)}`);
        await expect.poll(() => world.upstream.received.join('').length).toBeGreaterThan(MIB / 2);
        caller.socket[leave]();
        await expect.poll(() => world.upstream.closed).toBe(1);
        expect(world.upstream.requests).toEqual([]);
        expect(world.upstream.received.join('').endsWith('0\r\n\r\n')).toBe(false);
        await expect.poll(world.inFlight).toBe(0);
      }
    },
  );

  it('in the middle of a small upload never reaches the API', async () => {
    await using world = await createProxyWorld();
    using caller = await world.open();
    caller.send(`POST /api/x HTTP/1.1\r\n${world.host}Content-Length: 10\r\n\r\nhalf`);
    await expect.poll(world.inFlight).toBe(1);
    caller.socket.destroy();
    await expect.poll(world.inFlight).toBe(0);
    expect(world.upstream.connections).toBe(0);
  });

  it('in the middle of a download closes the connection to the API within a second', async () => {
    await using world = await createProxyWorld({
      answer: () => `HTTP/1.1 200 OK\r\nContent-Length: ${10 * MIB}\r\n\r\n${'x'.repeat(MIB)}`,
    });
    using caller = await world.open();
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    await expect.poll(() => caller.received.length).toBeGreaterThan(MIB);
    caller.socket.destroy();
    using own = startOwnTime();
    await expect.poll(() => world.upstream.closed).toBe(1);
    expect(own.ms).toBeLessThan(1000);
    await expect.poll(world.inFlight).toBe(0);
  });

  it('while the API is thinking closes the connection to the API', async () => {
    await using world = await createProxyWorld({ answer: () => undefined });
    using caller = await world.open();
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    await world.upstream.untilRequests(1);
    caller.socket.resetAndDestroy();
    await expect.poll(() => world.upstream.closed).toBe(1);
    expect(world.sidecar.logs.at(-1)).toMatchObject({ message: 'request', status: 499, code: 'CALLER_ABORTED' });
  });

  it('with several requests under way is forgotten with all of them', async () => {
    await using world = await createProxyWorld({ answer: () => undefined });
    using caller = await world.open();
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`.repeat(5));
    await world.upstream.untilRequests(1);
    caller.socket.resetAndDestroy();
    await expect.poll(world.inFlight).toBe(0);
    expect(await world.sidecar.stop()).toBe(true);
  });
});

describe('a caller that half-closes', () => {
  it.each(['1.0', '1.1'])('after its request counts as one that left (HTTP/%s)', async (version) => {
    await using world = await createProxyWorld({ answer: () => undefined });
    using caller = await world.open();
    caller.send(`POST /api/x HTTP/${version}\r\n${world.host}Content-Length: 2\r\n\r\nhi`);
    await world.upstream.untilRequests(1);
    caller.socket.end();
    expect(await caller.ended()).toBe('end');
    expect(caller.received).toBe('');
    await expect.poll(() => world.upstream.closed).toBe(1);
    expect(world.sidecar.logs.at(-1)).toMatchObject({ message: 'request', status: 499, code: 'CALLER_ABORTED' });
  });
});

describe('a caller that stalls', () => {
  it('in a small body gets 408 and the API sees nothing', async () => {
    await using world = await createProxyWorld({ config: { timeouts: { idle: '200ms' } } });
    const answer = await world.call('POST /api/x HTTP/1.1', 'Content-Length: 10\r\n\r\nhalf');
    expect([answer.status, answer.header('x-sidecar-error')]).toEqual([408, 'CALLER_TIMEOUT']);
    expect(world.upstream.connections).toBe(0);
  });

  it('in a large body gets 408 and the API no whole request', async () => {
    await using world = await createProxyWorld({ config: { timeouts: { idle: '200ms' } } });
    const half = 'x'.repeat(100_000);
    const answer = await world.call('POST /api/x HTTP/1.1', `Content-Length: 200000\r\n\r\n${half}`);
    expect([answer.status, answer.header('x-sidecar-error')]).toEqual([408, 'CALLER_TIMEOUT']);
    await expect.poll(() => world.upstream.closed).toBe(1);
    expect(world.upstream.requests).toEqual([]);
  });

  it.each([
    ['small', 20_000],
    ['large', 200_000],
  ])('by dripping a %s body gets 408, however steadily', async (_case, length) => {
    using deadline = createDeadline();
    await using world = await createProxyWorld({ config: { timeouts: { idle: `${deadline.ms}ms` } } });
    using caller = await world.open();
    const drip = async () => {
      caller.send('x');
      await untilQuiet();
      deadline.elapse(deadline.ms / 14.5);
    };
    caller.send(`POST /api/x HTTP/1.1\r\n${world.host}Content-Length: ${length}\r\n\r\n`);
    for (let drops = 0; drops < 14; drops += 1) await drip();
    expect(caller.received).toBe('');
    await drip();
    const answer = await caller.answer();
    expect([answer.status, answer.header('connection')]).toEqual([408, 'close']);
    while (caller.ending === undefined) await drip();
    expect(world.upstream.requests).toEqual([]);
  });

  it('is given its time again for every KiB', async () => {
    using deadline = createDeadline();
    await using world = await createProxyWorld({
      answer: ({ body }) => ok(String(body.length)),
      config: { timeouts: { idle: `${deadline.ms}ms` } },
    });
    using caller = await world.open();
    caller.send(`POST /api/x HTTP/1.1\r\n${world.host}Content-Length: ${20 * 1024}\r\n\r\n`);
    for (let sent = 0; sent < 20; sent += 1) {
      caller.send('x'.repeat(1024));
      await untilQuiet();
      deadline.elapse(0.9 * deadline.ms);
    }
    expect((await caller.answer()).body).toBe(String(20 * 1024));
  });

  it('before its first byte is closed without a word: it may have connected ahead of need, or to see who is there', async () => {
    await using world = await createProxyWorld({ config: { timeouts: { callerHeaders: '200ms' } } });
    const silent = await Promise.all(Array.from({ length: 3 }, () => world.open()));
    using asking = await world.open();
    asking.send('G');
    using again = await world.open();
    again.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    expect((await again.answer()).status).toBe(200);
    again.send('G');
    for (const caller of [asking, again]) expect((await caller.answer()).status).toBe(408);
    for (const caller of silent) {
      expect([await caller.ended(), caller.received]).toEqual(['end', '']);
      caller[Symbol.dispose]();
    }
  });

  it('within its headers gets 408', async () => {
    await using world = await createProxyWorld({ config: { timeouts: { callerHeaders: '200ms' } } });
    using caller = await world.open();
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}`);
    expect((await caller.answer()).status).toBe(408);
    expect(await caller.ended()).toBe('end');
  });
});

describe('a caller that sends nonsense', () => {
  it('behind a running request leaves that request its own answer', async () => {
    let answer: (() => unknown) | undefined;
    await using world = await createProxyWorld({
      answer: ({ socket }) => {
        answer = () => socket.write(ok('paid'));
        return undefined;
      },
    });
    using caller = await world.open();
    caller.send(`POST /api/pay HTTP/1.1\r\n${world.host}Content-Length: 2\r\n\r\nhi`);
    await world.upstream.untilRequests(1);
    caller.send('\0 nonsense\r\n\r\n');
    await untilQuiet();
    answer?.();
    await caller.ended();
    // The payment was made, so that is what the caller is told, and nothing else.
    expect(caller.received).toMatch(/^HTTP\/1\.1 200 OK\r\n.*paid$/s);
    await expect.poll(world.inFlight).toBe(0);
  });

  it('or a CONNECT behind a running request is not answered as if that were the answer', async () => {
    let answer: (() => unknown) | undefined;
    await using world = await createProxyWorld({
      answer({ socket }) {
        answer = () => socket.write(ok('paid'));
        return undefined;
      },
    });
    using caller = await world.open();
    caller.send(`POST /api/pay HTTP/1.1\r\n${world.host}Content-Length: 2\r\n\r\nhi`);
    await world.upstream.untilRequests(1);
    caller.send(`CONNECT evil:443 HTTP/1.1\r\n${world.host}\r\n`);
    answer?.();
    await caller.ended();
    expect(caller.received).toMatch(/^(?:HTTP\/1\.1 200 OK\r\n.*paid)?$/s);
    await expect.poll(world.inFlight).toBe(0);
  });

  it('behind a half-sent answer gets nothing mixed into it', async () => {
    await using world = await createProxyWorld({
      answer: () => 'HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nhalf',
    });
    using caller = await world.open();
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    await expect.poll(() => caller.received.endsWith('half')).toBe(true);
    caller.send('\0 nonsense\r\n\r\n');
    world.upstream.requests[0]?.socket.destroy();
    await caller.ended();
    expect(caller.received.endsWith('half')).toBe(true);
  });

  it('is not kept waiting on a connection that is of no use any more', async () => {
    await using world = await createProxyWorld();
    using caller = await world.open();
    caller.send('\0 nonsense\r\n\r\n');
    expect((await caller.answer()).status).toBe(400);
    expect(await caller.ended()).toBe('end');
  });
});

describe('a caller that asks for a tunnel', () => {
  it('and resets the connection at once does no harm', async () => {
    await using world = await createProxyWorld();
    for (let round = 0; round < 20; round += 1) {
      using caller = await world.open();
      caller.send(`CONNECT evil:443 HTTP/1.1\r\n${world.host}\r\n${'x'.repeat(10_000)}`);
      caller.socket.resetAndDestroy();
    }
    using caller = await world.open();
    caller.send(`CONNECT evil:443 HTTP/1.1\r\n${world.host}\r\n`);
    expect((await caller.answer()).status).toBe(405);
    expect(await caller.ended()).toBe('end');
    caller.socket.resetAndDestroy();
    expect((await world.call('GET /api/x HTTP/1.1')).status).toBe(200);
  });
});

describe('a caller that uploads while the answer is there already', () => {
  const UPLOAD = 50 * MIB;

  it.each([
    ['/api/x HTTP/1.1', '', 413],
    ['/api/x HTTP/1.1', 'Connection: close\r\n', 413],
    ['/api/x HTTP/1.0', '', 413],
    ['/other HTTP/1.1', '', 404],
    ['/other HTTP/1.1', 'Connection: close\r\n', 404],
    ['/other HTTP/1.0', '', 404],
  ])('to %s with %j sees the status %i of API or sidecar', async (line, header, status) => {
    let told = false;
    await using world = await createProxyWorld({
      onBytes: (socket, received) => {
        if (told || received.length < 200_000) return;
        told = true;
        socket.write('HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno');
      },
    });
    using caller = await world.open();
    caller.send(`POST ${line}\r\n${world.host}${header}Content-Length: ${UPLOAD}\r\n\r\n`);
    caller.send(Buffer.alloc(UPLOAD));
    const answer = await caller.answer();
    expect(answer.status).toBe(status);
    expect(world.upstream.requests).toEqual([]);
  });

  it.each([
    ['answers', (socket: Socket) => socket.write('HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno'), 413],
    ['breaks off', (socket: Socket) => socket.resetAndDestroy(), 502],
  ])('is not blocked when it reads nothing before all is sent and the API %s', async (_case, act, status) => {
    let api: Socket | undefined;
    await using world = await createProxyWorld({
      onBytes(socket, received) {
        // From here on it reads nothing, so the upload backs up to the caller.
        if (received.length > 200_000) api = socket.pause();
      },
    });
    using caller = await world.open({ paused: true });
    caller.send(`POST /api/x HTTP/1.1\r\n${world.host}Content-Length: ${UPLOAD}\r\n\r\n`);
    for (let sent = 0; sent < UPLOAD; sent += MIB) caller.send(Buffer.alloc(MIB));
    await untilStill(() => caller.socket.writableLength);
    expect(caller.socket.writableLength).toBeGreaterThan(MIB);
    act(api ?? caller.socket);
    await expect.poll(() => caller.socket.writableLength).toBe(0);
    caller.read();
    expect((await caller.answer()).status).toBe(status);
  });
});
