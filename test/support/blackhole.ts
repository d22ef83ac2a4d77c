/** A port that acts like one behind a firewall that drops packets: nothing accepts, and the kernel's queue is full. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

export interface Blackhole {
  readonly port: number;
  close(): Promise<unknown>;
}

/** Listens, and then blocks its thread forever. */
const LISTENS = `
const { parentPort } = require('node:worker_threads');
const server = require('node:net').createServer();
server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
  parentPort.postMessage(server.address().port);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});`;

const QUEUE = 16;
const CONNECTS_WITHIN_MS = 300;

export async function startBlackhole(): Promise<Blackhole> {
  const worker = new Worker(LISTENS, { eval: true });
  const [port] = (await once(worker, 'message')) as [number];
  const sockets: Socket[] = [];
  for (let isTaken = true; isTaken && sockets.length < QUEUE; ) {
    const socket = connect(port, '127.0.0.1').on('error', () => undefined);
    sockets.push(socket);
    isTaken = await Promise.race([once(socket, 'connect').then(() => true), sleep(CONNECTS_WITHIN_MS, false)]);
  }
  return {
    port,
    close() {
      for (const socket of sockets) socket.destroy();
      return worker.terminate();
    },
  };
}
