// A connection between two processes: whoever dies in between, it is served once and whole, or closed.
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { createHandover } from '../../../src/sidecar/workers/connection-handoff.ts';
import type { Worker } from '../../../src/sidecar/workers/process-pool.ts';

interface Given {
  readonly worker: Worker;
  readonly id: number;
  readonly secure: boolean;
  readonly port: number | undefined;
}

/** Workers that remember what they were given; ready unless taken out. */
async function setUp(count: number, limit = 96) {
  const given: Given[] = [];
  const workers = Array.from({ length: count }, (_, index): Worker => {
    const worker: Worker = {
      ...{ index, pid: index },
      send(message, socket) {
        if (message.kind !== 'connection') return;
        given.push({ worker, id: message.id, secure: message.secure, port: socket?.remotePort });
      },
    };
    return worker;
  });
  const ready = new Set(workers);
  const handover = createHandover({ ready: () => [...ready], count, limit, beforeEach: () => undefined });
  const server = handover.createListener(false);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    handover.close();
    server.close();
  });
  const open = async () => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    await once(socket, 'connect');
    return socket;
  };
  return { given, workers, ready, handover, server, open };
}

it('gives each connection to the worker with the most room', async () => {
  const { given, handover, open, workers } = await setUp(3);
  for (let count = 1; count <= 6; count += 1) {
    await open();
    await expect.poll(() => given.length).toBe(count);
  }
  expect(given.map(({ worker }) => worker.index)).toEqual([0, 1, 2, 0, 1, 2]);
  handover.closed(workers[1] as Worker, 2);
  await open();
  await expect.poll(() => given.at(-1)?.worker.index).toBe(1);
});

it('gives what a dead worker had not taken to another one, and what it had taken to nobody', async () => {
  const { given, handover, open, ready, workers } = await setUp(2);
  const [first, second] = workers as [Worker, Worker];
  const callers = [await open(), await open(), await open()];
  await expect.poll(() => given.length).toBe(3);
  const [taken, , untaken] = given;
  handover.taken(first, taken?.id ?? 0);
  ready.delete(first);
  handover.gone(first);
  expect(given.slice(3)).toMatchObject([{ worker: second, port: untaken?.port }]);
  expect(given[3]?.id).not.toBe(untaken?.id);
  // Here its descriptor is closed; were a worker alive that has it, it would go on.
  await once(callers[0] as NonNullable<(typeof callers)[0]>, 'close');
  expect(callers.slice(1).map(({ destroyed }) => destroyed)).toEqual([false, false]);
});

it('keeps connections for the next worker when there is none, up to the limit', async () => {
  const { given, handover, open, ready, workers } = await setUp(1, 2);
  ready.clear();
  const callers = [await open(), await open(), await open()];
  await once(callers[2] as NonNullable<(typeof callers)[0]>, 'close');
  expect(given).toEqual([]);
  for (const worker of workers) ready.add(worker);
  handover.ready();
  expect(given).toHaveLength(2);
});
