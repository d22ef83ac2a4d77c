/** How long a connection to a server waits for the next call: as an ERP that calls every few seconds needs it. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { createEgress } from '../../src/net/egress.ts';

const KEEP_ALIVE_MS = 55_000;
const TIMEOUTS = { connect: 5000, firstByte: 60_000, idle: 60_000, queue: 10_000, callerHeaders: 10_000 };

/** A server that says no word about how long it keeps a connection, as Kestrel, or what `announced` says. */
async function startWorld(announced = '') {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket
      .on('data', () => socket.write(`HTTP/1.1 200 OK\r\n${announced}Content-Length: 0\r\n\r\n`))
      .on('error', () => socket.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const egress = createEgress(
    { origin, basePath: '', hostname: '127.0.0.1', secure: false },
    {
      loaded: {
        config: { timeouts: TIMEOUTS, limits: { keepAlive: KEEP_ALIVE_MS } },
        proxy: undefined,
        tls: new Map(),
      },
      connections: 4,
      owner: 'route /x',
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
  return { call, sockets };
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
    const { call, sockets } = await startWorld('Keep-Alive: timeout=10\r\n');
    await call();
    vi.advanceTimersByTime(7900);
    await call();
    expect(sockets).toHaveLength(1);
    vi.advanceTimersByTime(8100);
    await call();
    expect(sockets).toHaveLength(2);
  });

  it('keeps it no longer than limits.keepAlive where the server announces more', async () => {
    const { call, sockets } = await startWorld('Keep-Alive: timeout=600\r\n');
    await call();
    vi.advanceTimersByTime(KEEP_ALIVE_MS + 100);
    await call();
    expect(sockets).toHaveLength(2);
  });
});
