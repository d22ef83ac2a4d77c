/** When the connection that waits for the next call is opened, replaced, given up and handed over. */

import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import type { buildConnector } from 'undici';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { createReadyConnection } from '../../src/net/ready-connection.ts';

const KEEP_MS = 55_000;
const TARGET = { protocol: 'https:', host: 'api.test', hostname: 'api.test', port: '443' };

class FakeSocket extends Duplex {
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }
  override _read(): void {
    // Bytes come from the test.
  }
  override _write(_chunk: unknown, _encoding: BufferEncoding, done: () => void): void {
    done();
  }
}

function createWorld({ keepMs = KEEP_MS } = {}) {
  const opened: FakeSocket[] = [];
  let isDown = false;
  let openMs = 0;
  let attempts = 0;
  let isNeeded = true;
  const connector: buildConnector.connector = (_options, done) => {
    attempts += 1;
    const socket = new FakeSocket();
    if (isDown) queueMicrotask(() => done(new Error('refused'), null));
    else {
      opened.push(socket);
      const opens = () => done(null, socket as unknown as Socket);
      if (openMs > 0) setTimeout(opens, openMs);
      else queueMicrotask(opens);
    }
  };
  const ready = createReadyConnection({ connector, target: TARGET, keepMs, isNeeded: () => isNeeded });
  onTestFinished(ready.end);
  return {
    ...{ opened, ready },
    attempts: () => attempts,
    down: (value: boolean) => {
      isDown = value;
    },
    slow: (ms: number) => {
      openMs = ms;
    },
    needed: (value: boolean) => {
      isNeeded = value;
    },
    take: () =>
      new Promise<Socket>((resolve, reject) => {
        ready.connect(TARGET, (error, socket) => (error ? reject(error) : resolve(socket as Socket)));
      }),
    pass: async (ms: number) => {
      await vi.advanceTimersByTimeAsync(ms);
    },
  };
}

describe('createReadyConnection', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    onTestFinished(() => void vi.useRealTimers());
  });

  it('hands over the open connection, once, and opens others as they are asked for', async () => {
    const { opened, ready, take, pass } = createWorld();
    ready.prepare();
    await pass(0);
    expect(await take()).toBe(opened[0]);
    expect(await take()).toBe(opened[1]);
    await pass(10 * KEEP_MS);
    expect(opened).toHaveLength(2);
    expect(opened.some(({ destroyed }) => destroyed)).toBe(false);
  });

  it('opens one, however often it is told to prepare', async () => {
    const { opened, ready, pass } = createWorld();
    ready.prepare();
    ready.prepare();
    await pass(0);
    ready.prepare();
    await pass(0);
    expect(opened).toHaveLength(1);
  });

  it('has the new one open before it closes the old one', async () => {
    const { opened, ready, pass, take } = createWorld();
    ready.prepare();
    await pass(KEEP_MS + 1);
    expect(opened.map(({ destroyed }) => destroyed)).toEqual([true, false]);
    expect(await take()).toBe(opened[1]);
  });

  it('keeps an overdue one no longer than it takes to learn that the server cannot be reached', async () => {
    const { opened, ready, pass, down, take } = createWorld();
    ready.prepare();
    await pass(0);
    down(true);
    await pass(KEEP_MS + 1);
    // Its peer may have been lost without a word: a payment on it would get no response, and nobody would know its outcome.
    expect(opened[0]?.destroyed).toBe(true);
    await expect(take()).rejects.toThrow('refused');
    down(false);
    await pass(2000);
    expect(await take()).toBe(opened[1]);
  });

  it('opens one, not two, when the old one is lost while the new one is being opened', async () => {
    const { opened, ready, pass, slow } = createWorld();
    ready.prepare();
    await pass(0);
    slow(500);
    await pass(KEEP_MS + 1);
    opened[0]?.push(null);
    await pass(5000);
    expect(opened.map(({ destroyed }) => destroyed)).toEqual([true, false]);
  });

  it('renews no more than once a second, however short the time', async () => {
    const { ready, pass, attempts } = createWorld({ keepMs: 1 });
    ready.prepare();
    await pass(10_500);
    expect(attempts()).toBe(11);
  });

  it('closes it when it is due and others are in use, until it is told to prepare', async () => {
    const { opened, ready, pass, needed } = createWorld();
    ready.prepare();
    await pass(0);
    needed(false);
    await pass(3 * KEEP_MS);
    expect(opened.map(({ destroyed }) => destroyed)).toEqual([true]);
    ready.prepare();
    await pass(0);
    expect(opened).toHaveLength(2);
  });

  it.each([
    ['an end', (socket: FakeSocket) => socket.push(null)],
    ['bytes that nobody asked for', (socket: FakeSocket) => socket.push('HTTP/1.1 408 Request Timeout\r\n\r\n')],
    ['an error', (socket: FakeSocket) => socket.destroy(new Error('reset'))],
  ])(
    'never hands over a connection on which %s has arrived, and has another a second later',
    async (_name, happens) => {
      const { opened, ready, pass, take } = createWorld();
      ready.prepare();
      await pass(0);
      happens(opened[0] as FakeSocket);
      await pass(0);
      expect(opened[0]?.destroyed).toBe(true);
      expect(opened).toHaveLength(1);
      await pass(1000);
      expect(await take()).toBe(opened[1]);
    },
  );

  it('is earlier than a server that ends idle connections after 20 s, from the second on', async () => {
    const { opened, ready, pass } = createWorld();
    ready.prepare();
    await pass(20_000);
    opened[0]?.push(null);
    await pass(1000);
    expect(opened).toHaveLength(2);
    await pass(16_001);
    expect(opened).toHaveLength(3);
    expect(opened.map(({ destroyed }) => destroyed)).toEqual([true, true, false]);
  });

  it('forgets in time that a server has ended one early: it may have been restarted', async () => {
    const { opened, ready, pass } = createWorld();
    ready.prepare();
    await pass(2000);
    opened[0]?.push(null);
    await pass(3600_000);
    const before = opened.length;
    await pass(3600_000);
    expect(opened.length - before).toBeLessThan(3600_000 / KEEP_MS + 2);
  });

  it('tries a server that is down seven times in a minute or two, then once a minute', async () => {
    const { ready, pass, down, attempts, opened } = createWorld();
    down(true);
    ready.prepare();
    await pass(125_000);
    expect(attempts()).toBe(8);
    await pass(600_000);
    expect(attempts()).toBe(18);
    down(false);
    await pass(60_000);
    expect(opened).toHaveLength(1);
  });

  it('tries a server that is down once when nobody needs one later', async () => {
    const { ready, pass, down, needed, attempts, opened } = createWorld();
    down(true);
    needed(false);
    ready.prepare();
    await pass(600_000);
    expect(attempts()).toBe(1);
    down(false);
    ready.prepare();
    await pass(0);
    opened[0]?.push(null);
    await pass(600_000);
    expect(attempts()).toBe(2);
  });

  it('does not open one after another to a server that ends each at once', async () => {
    const { ready, pass, opened } = createWorld();
    ready.prepare();
    for (let second = 0; second < 600; second += 1) {
      await pass(1000);
      if (opened.at(-1)?.destroyed === false) opened.at(-1)?.push(null);
    }
    expect(opened.length).toBeLessThan(20);
  });

  it('closes it at the end, and opens no more', async () => {
    const { ready, pass, opened, attempts } = createWorld();
    ready.prepare();
    await pass(0);
    ready.end();
    expect(opened[0]?.destroyed).toBe(true);
    ready.prepare();
    await pass(10 * KEEP_MS);
    expect(attempts()).toBe(1);
  });

  it('closes one that comes after the end', async () => {
    const { ready, pass, opened } = createWorld();
    ready.prepare();
    ready.end();
    await pass(0);
    expect(opened[0]?.destroyed).toBe(true);
  });

  it('survives an error of a connection that has just been handed over', async () => {
    const { ready, pass, take } = createWorld();
    ready.prepare();
    await pass(0);
    const socket = await take();
    expect(() => socket.emit('error', new Error('reset'))).not.toThrow();
  });
});
