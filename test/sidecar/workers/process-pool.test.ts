// As many processes as there should be, at once, but not in a frenzy when none of them lives.
import type { ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Log } from '../../../src/core/log.ts';
import { createPool } from '../../../src/sidecar/workers/process-pool.ts';
import type { ToEngine, ToWorker } from '../../../src/sidecar/workers/protocol.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
afterEach(() => void vi.useRealTimers());

/** Node's side of a process, without one. */
class Child extends EventEmitter {
  readonly pid = 1;
  connected = true;
  exitCode: number | null = null;
  signalCode: string | null = null;
  readonly sent: ToWorker[] = [];
  readonly kill = vi.fn();

  send(message: ToWorker): void {
    this.sent.push(message);
  }

  disconnect(): void {
    this.connected = false;
    this.emit('disconnect');
  }

  async die(): Promise<void> {
    this.connected = false;
    this.signalCode = 'SIGKILL';
    this.emit('exit', null, 'SIGKILL');
    this.emit('close', null, 'SIGKILL');
    await vi.advanceTimersByTimeAsync(0);
  }
}

function setUp(count: number) {
  const children: Child[] = [];
  const gone: boolean[] = [];
  const messages: ToEngine[] = [];
  const pool = createPool({
    count,
    launch() {
      const child = new Child();
      children.push(child);
      return child as unknown as ChildProcess;
    },
    log: { error: () => undefined } as unknown as Log,
    greeting: () => ({ kind: 'hosts', hosts: [] }),
    onMessage: (_worker, message) => void messages.push(message),
    onReady: () => undefined,
    onGone: (_worker, unexpected) => void gone.push(unexpected),
  });
  const ready = (index: number) => children[index]?.emit('message', { kind: 'ready' });
  return { children, gone, messages, pool, ready };
}

it('has started when all of them are ready', async () => {
  const { pool, ready } = setUp(2);
  const started = vi.fn();
  void pool.started().then(started);
  ready(0);
  await vi.advanceTimersByTimeAsync(0);
  expect([pool.ready().length, started.mock.calls.length]).toEqual([1, 0]);
  ready(1);
  await vi.advanceTimersByTimeAsync(0);
  expect([pool.ready().length, started.mock.calls.length]).toEqual([2, 1]);
});

it('says so when one ends before it was ever ready', async () => {
  const { pool, children, ready } = setUp(2);
  const failed = expect(pool.started()).rejects.toThrow('did not start');
  ready(0);
  await children[1]?.die();
  await failed;
});

it('replaces one at once, and with a growing pause when its successors do not live for seconds', async () => {
  const { pool, children, gone, ready } = setUp(2);
  ready(0);
  ready(1);
  await pool.started();
  const launchedAfter: number[] = [];
  for (let round = 0; round < 6; round += 1) {
    const before = children.length;
    await children.at(-1)?.die();
    let waited = 0;
    for (; children.length === before; waited += 50) await vi.advanceTimersByTimeAsync(50);
    launchedAfter.push(waited);
  }
  expect(launchedAfter).toEqual([0, 100, 200, 400, 800, 1600].map((ms) => expect.closeTo(ms, -2)));
  expect(gone).toEqual(Array(6).fill(true));
  // One that has lived for a while is replaced at once again.
  ready(children.length - 1);
  await vi.advanceTimersByTimeAsync(6000);
  const before = children.length;
  await children.at(-1)?.die();
  await vi.advanceTimersByTimeAsync(1);
  expect(children.length).toBe(before + 1);
  expect(pool.ready()).toHaveLength(1);
});

it('lets them end by themselves, ends by force who does not, and starts no more', async () => {
  const { pool, children, gone, ready } = setUp(2);
  ready(0);
  ready(1);
  const closed = vi.fn();
  void pool.close().then(closed);
  expect(children.map(({ connected }) => connected)).toEqual([false, false]);
  await children[0]?.die();
  await vi.advanceTimersByTimeAsync(1000);
  expect(children[1]?.kill).toHaveBeenCalledWith('SIGKILL');
  await children[1]?.die();
  expect(closed).toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(60_000);
  expect([children.length, gone]).toEqual([2, [false, false]]);
});

it('hears everything a worker has said before its end', async () => {
  const { children, messages, ready } = setUp(1);
  ready(0);
  children[0]?.emit('message', { kind: 'taken', id: 7 });
  await children[0]?.die();
  expect(messages).toEqual([{ kind: 'taken', id: 7 }]);
});
