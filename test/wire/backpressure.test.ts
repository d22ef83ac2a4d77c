// A slow reader slows its own upload or download down, on both connections, and holds little memory meanwhile.
import { describe, expect, it } from 'vitest';
import { createDeadline } from '../support/deadline.ts';
import { untilQuiet } from '../support/own-time.ts';
import { createProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';
import { until } from '../support/until.ts';
import { untilStill } from '../support/until-still.ts';

const MIB = 1024 * 1024;
const DOWNLOAD = 64 * MIB;
/** What kernels hold of a loopback connection, on both sides of the sidecar, and more. */
const IN_BUFFERS = 24 * MIB;

describe('backpressure', () => {
  it('stops reading the API while the caller reads nothing, and loses nothing', async () => {
    const block = Buffer.from(Array.from({ length: MIB }, (_, index) => index % 251));
    await using world = await createProxyWorld({
      answer({ socket }) {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${DOWNLOAD}\r\n\r\n`);
        for (let sent = 0; sent < DOWNLOAD; sent += MIB) socket.write(block);
        return undefined;
      },
    });
    using caller = await world.open({ paused: true });
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    await world.upstream.untilRequests(1);
    const unsent = () => world.upstream.requests[0]?.socket.writableLength ?? 0;
    await untilStill(unsent);
    expect(unsent()).toBeGreaterThan(DOWNLOAD - IN_BUFFERS);
    caller.read();
    const answer = await caller.answer();
    expect(Buffer.from(answer.body.slice(-MIB), 'latin1').equals(block)).toBe(true);
    expect(answer.body.length).toBe(DOWNLOAD);
  });

  /** Whatever kernels hold, of some of these only the end is left in the sidecar when the API is done. */
  const SIZES = Array.from({ length: 40 }, (_, index) => 4_000_000 + index * 10_000);
  const ofSize = ({ target }: { readonly target: string }) => {
    const length = Number(target.slice(1));
    return `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n${'x'.repeat(length)}`;
  };

  async function openDeaf(world: Awaited<ReturnType<typeof createProxyWorld>>) {
    const callers = await Promise.all(SIZES.map(() => world.open({ paused: true })));
    for (const [index, caller] of callers.entries())
      caller.send(`GET /api/${SIZES[index]} HTTP/1.1\r\n${world.host}\r\n`);
    await world.upstream.untilRequests(SIZES.length);
    await untilStill(() => world.upstream.sockets.reduce((sum, socket) => sum + socket.writableLength, 0));
    return callers;
  }

  it('has gone when none of the end of a response is taken for as long as a caller may be idle', async () => {
    await using world = await createProxyWorld({ answer: ofSize, config: { timeouts: { idle: '500ms' } } });
    const callers = await openDeaf(world);
    await until('no place is held', async () => (await world.inFlight()) === 0);
    for (const caller of callers) caller[Symbol.dispose]();
  });

  it('has all of a response that it takes late, although the sidecar is asked to stop meanwhile', async () => {
    await using world = await createProxyWorld({ answer: ofSize });
    const callers = await openDeaf(world);
    const stopped = world.sidecar.stop();
    await untilQuiet();
    for (const caller of callers) caller.read();
    const lengths = await Promise.all(callers.map(async (caller) => (await caller.answer()).body.length));
    expect(lengths).toEqual(SIZES);
    expect(await stopped).toBe(true);
    for (const caller of callers) caller[Symbol.dispose]();
  });

  it('stops reading the caller while the API reads nothing, and loses nothing', async () => {
    const UPLOAD = 48 * MIB;
    let paused = false;
    using deadline = createDeadline();
    await using world = await createProxyWorld({
      onBytes(socket) {
        if (!paused) socket.pause();
        paused = true;
      },
      answer: ({ body }) => ok(String(body.length)),
      config: { timeouts: { idle: `${deadline.ms}ms` } },
    });
    using caller = await world.open();
    caller.send(`PUT /api/x HTTP/1.1\r\n${world.host}Content-Length: ${UPLOAD}\r\n\r\n`);
    for (let sent = 0; sent < UPLOAD; sent += MIB) caller.send(Buffer.alloc(MIB));
    await untilStill(() => caller.socket.writableLength);
    expect(caller.socket.writableLength).toBeGreaterThan(UPLOAD - IN_BUFFERS);
    // Longer than the caller may be idle: it is not the caller who is slow.
    deadline.elapse(1.5 * deadline.ms);
    await untilQuiet();
    expect(caller.received).toBe('');
    for (const socket of world.upstream.sockets) socket.resume();
    expect((await caller.answer()).body).toBe(String(UPLOAD));
  });

  it('does not cut off a caller that reads slowly but steadily', async () => {
    using deadline = createDeadline();
    await using world = await createProxyWorld({
      answer: ({ socket }) => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${DOWNLOAD}\r\n\r\n`);
        socket.write(Buffer.alloc(DOWNLOAD));
        return undefined;
      },
      config: { timeouts: { idle: `${deadline.ms}ms` } },
    });
    using caller = await world.open({ paused: true });
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    let read = 0;
    caller.socket.on('data', (chunk) => {
      read += chunk.length;
    });
    // Whatever the system holds in its buffers, the sidecar can write again after so much.
    for (const piece of [8, 16, 24, 32, 40, 48, 56, 64]) {
      caller.socket.resume();
      await until('the caller has read on', () => read >= piece * MIB || caller.ending !== undefined);
      caller.socket.pause();
      await untilQuiet();
      deadline.elapse(0.75 * deadline.ms);
    }
    expect([read >= DOWNLOAD, caller.ending]).toEqual([true, undefined]);
  });

  it('cuts off a caller that does not read at all any more', async () => {
    await using world = await createProxyWorld({
      answer: ({ socket }) => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${DOWNLOAD}\r\n\r\n`);
        socket.write(Buffer.alloc(DOWNLOAD));
        return undefined;
      },
      config: { timeouts: { idle: '300ms' } },
    });
    using caller = await world.open({ paused: true });
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    await world.upstream.untilRequests(1);
    await expect.poll(() => world.upstream.closed).toBe(1);
    await expect.poll(world.inFlight).toBe(0);
    expect(world.sidecar.logs.at(-1)).toMatchObject({ message: 'request', code: 'CALLER_TIMEOUT', status: 499 });
  });
});
