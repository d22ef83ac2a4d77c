/** How long a connection to a server waits for the next call: as an ERP that calls every few seconds needs it. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { createEgress } from '../../src/net/egress.ts';

const KEEP_ALIVE_MS = 55_000;
const TIMEOUTS = { connect: 5000, firstByte: 60_000, idle: 60_000, queue: 10_000, callerHeaders: 10_000 };

/** A server that says no word about how long it keeps a connection, as Kestrel, or what `announced` says. */
async function startWorld({ announced = '', warm = false } = {}) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket
      .on('end', () => socket.end())
      .on('data', () => socket.write(`HTTP/1.1 200 OK\r\n${announced}Content-Length: 0\r\n\r\n`))
      .on('error', () => socket.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const egress = createEgress(
    { origin, basePath: '', hostname: '127.0.0.1', secure: false, text: origin },
    {
      loaded: {
        config: { timeouts: TIMEOUTS, limits: { keepAlive: KEEP_ALIVE_MS } },
        proxy: undefined,
        tls: new Map(),
      },
      connections: 4,
      owner: 'route /x',
      warm,
    },
  );
  onTestFinished(async () => {
    await egress.destroy();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const call = async (): Promise<void> => {
    const { body } = await egress.dispatcher.request({ origin, path: '/', method: 'GET' });
    await body.dump();
    // The pool gets its connection back behind the end of the response.
    await setImmediate();
  };
  return {
    call,
    sockets,
    open: () => sockets.filter(({ destroyed, readableEnded }) => !destroyed && !readableEnded).length,
    egress,
    server,
  };
}

/** What sockets do takes some turns of the event loop, and no time: the clock stands still. */
async function until(isTrue: () => boolean): Promise<void> {
  for (let turns = 0; !isTrue(); turns += 1) {
    if (turns > 100_000) throw new Error('it never happens');
    await setImmediate();
  }
}

describe('net/egress', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
  });

  it('keeps an idle connection for limits.keepAlive where the server announces nothing', async () => {
    const { call, sockets } = await startWorld();
    for (let calls = 0; calls < 3; calls += 1) {
      await call();
      vi.advanceTimersByTime(KEEP_ALIVE_MS - 1000);
    }
    expect(sockets).toHaveLength(1);
    vi.advanceTimersByTime(2000);
    await call();
    expect(sockets).toHaveLength(2);
  });

  it('gives it up two seconds before the server, where that announces less', async () => {
    const { call, sockets } = await startWorld({ announced: 'Keep-Alive: timeout=10\r\n' });
    await call();
    vi.advanceTimersByTime(7900);
    await call();
    expect(sockets).toHaveLength(1);
    vi.advanceTimersByTime(8100);
    await call();
    expect(sockets).toHaveLength(2);
  });

  it('keeps it no longer than limits.keepAlive where the server announces more', async () => {
    const { call, sockets } = await startWorld({ announced: 'Keep-Alive: timeout=600\r\n' });
    await call();
    vi.advanceTimersByTime(KEEP_ALIVE_MS + 100);
    await call();
    expect(sockets).toHaveLength(2);
  });

  it('opens none before the first call without warm', async () => {
    const { call, sockets } = await startWorld();
    for (let turns = 0; turns < 100; turns += 1) await setImmediate();
    expect(sockets).toHaveLength(0);
    await call();
    expect(sockets).toHaveLength(1);
  });

  it('has one ready before the first call, and again after a pause, with warm', async () => {
    const { call, sockets, open } = await startWorld({ warm: true });
    await until(() => sockets.length === 1);
    await call();
    await call();
    expect(sockets).toHaveLength(1);
    vi.advanceTimersByTime(KEEP_ALIVE_MS + 100);
    await until(() => sockets.length === 2 && open() === 1);
    await call();
    expect(sockets).toHaveLength(2);
  });

  it('replaces a ready connection that nobody has used for limits.keepAlive', async () => {
    const { call, sockets, open } = await startWorld({ warm: true });
    await until(() => sockets.length === 1);
    // The server has seen it sooner than this side.
    for (let turns = 0; turns < 10; turns += 1) await setImmediate();
    vi.advanceTimersByTime(KEEP_ALIVE_MS + 100);
    await until(() => sockets.length === 2 && open() === 1);
    await call();
    expect(sockets).toHaveLength(2);
  });
});
