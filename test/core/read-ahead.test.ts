// How much of connections that send small pieces is read in one turn of the event loop, which is what others wait for.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, createServer as createDoor, type Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createReadAhead } from '../../src/core/read-ahead.ts';
import { untilQuiet } from '../support/own-time.ts';

const READ_BYTES = 64 * 1024;
const PIECES = 100_000;
const UPLOAD = `POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${'1\r\nx\r\n'.repeat(PIECES)}0\r\n\r\n`;

/** @returns bytes read of all connections together, turn by turn */
async function readInTurns(connections: number): Promise<readonly number[]> {
  const sockets: Socket[] = [];
  let [received, ended] = [0, 0];
  const server = createServer({ ...createReadAhead().classes, keepAliveTimeout: 0 }, (req, res) => {
    req.on('data', (piece) => {
      received += piece.length;
    });
    req.on('end', () => {
      ended += 1;
      res.end();
    });
  });
  // All of them are full before any is read.
  const door = createDoor({ pauseOnConnect: true }, (socket) => void sockets.push(socket)).listen(0, '127.0.0.1');
  await once(door, 'listening');
  const callers = Array.from({ length: connections }, () => connect((door.address() as AddressInfo).port, '127.0.0.1'));
  for (const caller of callers) caller.on('error', () => undefined).end(UPLOAD);
  const read = () => sockets.reduce((sum, { bytesRead }) => sum + bytesRead, 0);
  const turns: number[] = [];
  await expect.poll(() => sockets.length).toBe(connections);
  await untilQuiet();
  for (const socket of sockets) {
    server.emit('connection', socket);
    socket.resume();
  }
  for (let before = read(); ended < connections; before = read()) {
    await setImmediate();
    turns.push(read() - before);
  }
  expect(received).toBe(connections * PIECES);
  door.close();
  return turns;
}

describe('src/core/read-ahead.ts', () => {
  it('reads a connection that sends small pieces once in a turn', async () => {
    expect(Math.max(...(await readInTurns(1)))).toBeLessThanOrEqual(READ_BYTES);
  });

  it('reads one of many such connections in a turn, and each of them to its end', async () => {
    const turns = await readInTurns(5);
    // Nobody knows what they send before the first.
    expect(turns.filter((bytes) => bytes > READ_BYTES).length).toBeLessThanOrEqual(1);
  });
});
