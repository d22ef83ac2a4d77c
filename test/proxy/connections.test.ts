// Who is let in and who gives way when callers hold as many connections as they may.
import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createConnections } from '../../src/proxy/connections.ts';

class FakeSocket extends EventEmitter {
  destroyed = false;
  written = '';
  bytesRead = 0;

  end(text: string): this {
    this.written += text;
    return this;
  }

  destroy(): this {
    this.destroyed = true;
    this.emit('close');
    return this;
  }
}

function createWorld(limit: number) {
  let time = 0;
  let refused = 0;
  const onRefused = () => {
    refused += 1;
  };
  const connections = createConnections({ limit, onRefused, now: () => time });
  return {
    refused: () => refused,
    pass: (ms: number) => {
      time += ms;
    },
    connect() {
      const socket = new FakeSocket();
      return { socket, admitted: connections.admit(socket as unknown as Socket) };
    },
    request(socket: FakeSocket) {
      const res = { req: { socket }, shouldKeepAlive: true } as unknown as ServerResponse;
      connections.began(res);
      return { end: () => connections.ended(res) };
    },
  };
}

describe('connections', () => {
  it('answers the one beyond the limit 503 with Retry-After while all others are in use', () => {
    const world = createWorld(2);
    for (const { socket } of [world.connect(), world.connect()]) world.request(socket);
    world.pass(60_000);
    const { socket, admitted } = world.connect();
    expect([admitted, world.refused()]).toEqual([false, 1]);
    expect(socket.written).toMatch(/^HTTP\/1\.1 503 .*\r\nRetry-After: 1\r\n.*Connection: close\r\n/s);
    expect(socket.written).toContain('"code":"SIDECAR_OVERLOADED"');
  });

  it('lets the connection that has been idle for longest give way', () => {
    const world = createWorld(3);
    const [first, second, third] = [world.connect(), world.connect(), world.connect()];
    const used = world.request(first.socket);
    world.pass(10);
    used.end();
    const busy = world.request(second.socket);
    world.pass(1000);
    expect(world.connect().admitted).toBe(true);
    expect([first, second, third].map(({ socket }) => socket.destroyed)).toEqual([false, false, true]);
    expect(world.connect().admitted).toBe(true);
    expect([first, second].map(({ socket }) => socket.destroyed)).toEqual([true, false]);
    expect(world.connect().admitted).toBe(false);
    busy.end();
    expect(second.socket.destroyed).toBe(false);
  });

  it('leaves those alone that have been idle for less than a second', () => {
    const world = createWorld(1);
    const { socket } = world.connect();
    world.pass(999);
    expect(world.connect().admitted).toBe(false);
    world.pass(1);
    expect(world.connect().admitted).toBe(true);
    expect(socket.destroyed).toBe(true);
  });

  it('counts a connection as in use until the last of its pipelined requests is over', () => {
    const world = createWorld(1);
    const { socket } = world.connect();
    const requests = [world.request(socket), world.request(socket)];
    world.pass(5000);
    requests[0]?.end();
    world.pass(5000);
    expect(world.connect().admitted).toBe(false);
    requests[1]?.end();
    world.pass(1000);
    expect(world.connect().admitted).toBe(true);
  });

  it('forgets a connection that closes, in the middle of a request or not', () => {
    const world = createWorld(1);
    for (let round = 0; round < 3; round += 1) {
      const { socket, admitted } = world.connect();
      expect(admitted).toBe(true);
      const request = world.request(socket);
      if (round === 1) request.end();
      socket.destroy();
      request.end();
    }
    expect(world.connect().admitted).toBe(true);
  });

  it('keeps few of the refused open, however many come', () => {
    const world = createWorld(1);
    world.request(world.connect().socket);
    const refused = Array.from({ length: 5000 }, () => world.connect().socket);
    expect(refused.every(({ written }) => written.startsWith('HTTP/1.1 503'))).toBe(true);
    expect(refused.filter(({ destroyed }) => !destroyed).length).toBeLessThanOrEqual(16);
    for (const socket of refused) socket.destroy();
  });

  it('keeps the right ones when some close, in any order', () => {
    const connections = createConnections({ limit: 10, onRefused: () => undefined });
    const sockets = Array.from({ length: 4 }, () => new FakeSocket());
    for (const socket of sockets) connections.admit(socket as unknown as Socket);
    const open = new Set(sockets);
    for (const index of [0, 3, 2, 1]) {
      const socket = sockets[index] as FakeSocket;
      open.delete(socket);
      socket.destroy();
      expect(new Set(connections.idle())).toEqual(open);
    }
  });

  it('starts a request at once while no connection is accepted, and a few per turn while some are', async () => {
    const { accepted, start } = createConnections({ limit: 10, onRefused: () => undefined });
    const started: number[] = [];
    const startMany = (from: number, count: number) => {
      for (let n = from; n < from + count; n += 1) start(() => started.push(n));
    };
    startMany(0, 3);
    expect(started).toEqual([0, 1, 2]);
    const perTurn: number[] = [];
    accepted();
    startMany(3, 24);
    expect(started.length).toBe(7);
    for (let turn = 0; turn < 4; turn += 1) {
      const before = started.length;
      await turnOfLoop();
      perTurn.push(started.length - before);
      // The third turn accepts none: nobody waits any longer.
      if (turn < 1) accepted();
    }
    expect(perTurn).toEqual([4, 4, 12, 0]);
    expect(started).toEqual(Array.from({ length: 27 }, (_, n) => n));
    start(() => started.push(27));
    expect(started.at(-1)).toBe(27);
  });

  it('lets no more than 512 requests wait, and starts the oldest first when more come', () => {
    const { accepted, start } = createConnections({ limit: 10, onRefused: () => undefined });
    const started: number[] = [];
    accepted();
    for (let n = 0; n < 2500; n += 1) start(() => started.push(n));
    expect(started).toEqual(Array.from({ length: 2500 - 512 }, (_, n) => n));
  });
});

/** Ends after everything that this turn of the event loop had to do. */
const turnOfLoop = () => new Promise((resolve) => setImmediate(resolve));
