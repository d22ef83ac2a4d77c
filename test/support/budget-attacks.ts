/** Attacks by one connection, one API, one file or one header, each at three sizes. */
import type { Socket } from 'node:net';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { type Api, type Attack, type BudgetWorld, FINE, send, takenOf } from './budget-world.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const HOLD: Api = () => undefined;
const CHUNK = '1\r\nx\r\n';
const CHUNKED = 'Transfer-Encoding: chunked\r\n\r\n';

/** Runs until nothing more is accepted or everything is sent; an attack does not wait longer than this. */
async function untilStill(sockets: readonly Socket[], limitMs = 8000): Promise<void> {
  const left = () => sockets.reduce((sum, socket) => sum + (socket.destroyed ? 0 : socket.writableLength), 0);
  let still = 0;
  for (let [before, waited] = [-1, 0]; still < 5 && waited < limitMs; waited += 60) {
    const now = left();
    still = now === before ? still + 1 : 0;
    before = now;
    await setTimeout(60);
  }
}

/** All connections send the same. */
async function flood({ open }: BudgetWorld, count: number, bytes: string, port?: number): Promise<number> {
  const sockets = await open(count, port);
  for (const socket of sockets) send(socket, bytes);
  await untilStill(sockets);
  return takenOf(sockets);
}

/** Callers that read as slowly as possible, or not at all. */
async function leaveUnread({ open, host }: BudgetWorld, count: number, target: string, port?: number): Promise<void> {
  const sockets = await open(count, port);
  for (const socket of sockets) socket.pause().write(`GET ${target} HTTP/1.1\r\n${host}\r\n`);
  await setTimeout(2500);
}

const repeat = (unit: string, bytes: number) => unit.repeat(Math.ceil(bytes / unit.length));
const get = (host: string, target: string, headers = '') => `GET ${target} HTTP/1.1\r\n${host}${headers}\r\n`;

/** The baseline for all others: as many plain requests as fit, a hundred at a time, all held until the end. */
export const PLAIN: Attack = {
  name: 'plain requests',
  sizes: [20 * KIB, 40 * KIB, 80 * KIB],
  api: HOLD,
  hasControl: true,
  async play(world, bytes) {
    const request = get(world.host, '/api/x', 'Accept: */*\r\n');
    return await flood(world, Math.floor(bytes / request.length), request);
  },
};

const fromCallers: readonly Attack[] = [
  {
    name: 'pipelined behind a request that waits',
    sizes: [MIB, 4.4 * MIB, 8.8 * MIB],
    api: HOLD,
    hasControl: true,
    play: (world, bytes) => flood(world, 1, repeat(get(world.host, '/api/x'), bytes)),
  },
  {
    name: 'pipelined on 50 connections',
    sizes: [MIB, 2 * MIB, 3 * MIB],
    api: HOLD,
    hasControl: true,
    play: (world, bytes) => flood(world, 50, repeat('GET / HTTP/1.1\r\n\r\n', bytes / 50)),
  },
  {
    name: 'pipelined /metrics, unread',
    sizes: [0.7 * MIB, 1.4 * MIB, 2.7 * MIB],
    hasControl: false,
    async play(world, bytes) {
      const [socket] = await world.open(1, world.adminPort);
      if (socket)
        send(socket.pause(), repeat(get(world.host.replace(/\d+\r/, `${world.adminPort}\r`), '/metrics'), bytes));
      await untilStill(socket ? [socket] : []);
      return socket ? takenOf([socket]) : 0;
    },
  },
  {
    name: 'chunks of 1 byte, held, 200 connections',
    sizes: [18 * MIB, 37 * MIB, 74 * MIB],
    api: HOLD,
    hasControl: true,
    play: (world, bytes) =>
      flood(world, 200, `POST /api/x HTTP/1.1\r\n${world.host}${CHUNKED}${repeat(CHUNK, bytes / 200)}`),
  },
  {
    name: 'chunks of 1 byte, one connection',
    sizes: [9 * MIB, 18 * MIB, 37 * MIB],
    api: HOLD,
    hasControl: true,
    play: (world, bytes) => flood(world, 1, `POST /api/x HTTP/1.1\r\n${world.host}${CHUNKED}${repeat(CHUNK, bytes)}`),
  },
  {
    name: 'a path that almost fits a glob',
    sizes: [2000, 4000, 8000],
    hasControl: false,
    async play(world, bytes) {
      return await flood(world, 1, get(world.host, `/glob${'/a'.repeat(bytes / 2)}`));
    },
  },
  {
    name: 'headers in segments of 1 byte',
    sizes: [18 * KIB, 36 * KIB, 72 * KIB],
    hasControl: true,
    async play(world, bytes) {
      const sockets = await world.open(8);
      const text = get(world.host, '/api/x', `X: ${'x'.repeat(bytes / 8)}\r\n`);
      for (const byte of text) {
        for (const socket of sockets) socket.write(byte);
        await setImmediate();
      }
      return bytes;
    },
  },
  {
    name: 'heads of 15 KB in lines of 4 bytes',
    sizes: [200 * 4 * KIB, 200 * 8 * KIB, 200 * 15 * KIB],
    hasControl: true,
    play: (world, bytes) => flood(world, 200, get(world.host, '/api/x', repeat('a:\r\n', bytes / 200))),
  },
  {
    name: 'header names of 15 KB',
    sizes: [10 * 15 * KIB, 20 * 15 * KIB, 40 * 15 * KIB],
    hasControl: true,
    play: (world, bytes) => flood(world, bytes / 15 / KIB, get(world.host, '/api/x', `${'_'.repeat(15_000)}a: x\r\n`)),
  },
  {
    name: 'chunk extensions without end',
    sizes: [MIB, 2 * MIB, 4 * MIB],
    hasControl: true,
    play: (world, bytes) =>
      flood(world, 20, `POST /api/x HTTP/1.1\r\n${world.host}${CHUNKED}1;${'x'.repeat(bytes / 20)}`),
  },
  {
    name: 'trailers without end',
    sizes: [MIB, 2 * MIB, 4 * MIB],
    hasControl: true,
    play: (world, bytes) =>
      flood(world, 20, `POST /api/x HTTP/1.1\r\n${world.host}${CHUNKED}0\r\n${repeat('a: b\r\n', bytes / 20)}`),
  },
  {
    name: 'connections that come and go',
    sizes: [500 * 64, 1000 * 64, 2000 * 64],
    hasControl: true,
    async play(world, bytes) {
      for (let left = bytes / 64; left > 0; left -= 100) for (const one of await world.open(100)) one.destroy();
      return bytes;
    },
  },
  {
    name: 'half-closed uploads',
    sizes: [200 * KIB, 400 * KIB, 800 * KIB],
    api: HOLD,
    hasControl: true,
    async play(world, bytes) {
      const sockets = await world.open(bytes / KIB / 2);
      for (const one of sockets)
        one.end(`POST /api/x HTTP/1.1\r\n${world.host}Content-Length: 70000\r\n\r\n${'x'.repeat(2 * KIB)}`);
      await setTimeout(1000);
      return bytes;
    },
  },
  {
    name: '/metrics unread by many',
    sizes: [125 * 50, 250 * 50, 500 * 50],
    hasControl: false,
    async play(world, bytes) {
      const host = world.host.replace(/\d+\r/, `${world.adminPort}\r`);
      await leaveUnread({ ...world, host }, bytes / 50, '/metrics', world.adminPort);
      return bytes;
    },
  },
];

/** An API that sends this much to every caller. */
const sends =
  (head: string, unit: string): Api =>
  (target, socket) => {
    const bytes = Number(target.slice(1));
    socket.write(head);
    const block = Buffer.from(repeat(unit, Math.min(bytes, MIB)), 'latin1');
    for (let left = bytes; left > 0; left -= block.length) socket.write(block);
  };

const fromApis: readonly Attack[] = [
  {
    name: 'chunks of 1 byte to 50 slow readers',
    sizes: [50 * 256 * KIB, 50 * 512 * KIB, 50 * MIB],
    api: sends('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', CHUNK),
    hasControl: true,
    play: (world, bytes) => leaveUnread(world, 50, `/api/${bytes / 50}`).then(() => bytes),
  },
  {
    name: '10 MB to many slow readers',
    sizes: [2500 * MIB, 5000 * MIB, 10_000 * MIB],
    api: sends(`HTTP/1.1 200 OK\r\nContent-Length: ${10 * MIB}\r\n\r\n`, 'x'.repeat(KIB)),
    hasControl: true,
    play: (world, bytes) => leaveUnread(world, bytes / 10 / MIB, `/api/${10 * MIB}`).then(() => bytes),
  },
  {
    name: 'interim responses without end',
    sizes: [MIB, 2 * MIB, 4 * MIB],
    api: sends('', 'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n'),
    hasControl: true,
    play: (world, bytes) => leaveUnread(world, 1, `/api/${bytes}`).then(() => bytes),
  },
  {
    name: 'responses nobody asked for',
    sizes: [MIB, 2 * MIB, 4 * MIB],
    api: sends(FINE, FINE),
    hasControl: true,
    play: (world, bytes) => leaveUnread(world, 1, `/api/${bytes}`).then(() => bytes),
  },
];

export const ATTACKS: readonly Attack[] = [...fromCallers, ...fromApis];
