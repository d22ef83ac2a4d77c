/** Which memory connections read into, and when it is used again. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { recycle } from '../../src/net/read-buffers.ts';
import { createReadOptions } from '../../src/net/upstream-socket.ts';

const FULL = 64 * 1024;

/** A reader without a socket: `read` is what Node does for each read. */
function createWorld() {
  const { onread } = createReadOptions();
  const pushed: Buffer[] = [];
  const socket = { push: (bytes: Buffer) => pushed.push(bytes) > 0 } as unknown as Socket;
  const generate = onread.buffer as () => Buffer;
  const connection = () => {
    let buffer = generate();
    return (length: number, fill: string): Buffer => {
      buffer.fill(fill, 0, length);
      onread.callback.call(socket, length, buffer);
      buffer = generate();
      return pushed.at(-1) as Buffer;
    };
  };
  return { connection };
}

describe('src/net/read-buffers.ts', () => {
  it('keeps what was read, whatever is read later and by whom', () => {
    const { connection } = createWorld();
    const [one, other] = [connection(), connection()];
    const kept = [FULL, 700, FULL, FULL, 40_000, 30_000, FULL, 1].map((length, index) => {
      const fill = String(index);
      return { bytes: [one, other][index % 2]?.(length, fill), expected: Buffer.alloc(length, fill) };
    });
    for (const { bytes, expected } of kept) expect(bytes?.equals(expected)).toBe(true);
  });

  it('reads a large transfer into the same memory when each piece is recycled', () => {
    const { connection } = createWorld();
    const read = connection();
    read(FULL, 'x');
    const used = new Set<ArrayBufferLike>();
    for (let count = 0; count < 100; count += 1) {
      const bytes = read(FULL, 'x');
      used.add(bytes.buffer);
      expect(recycle(bytes)).toBe(true);
    }
    expect(used.size).toBe(2);
  });

  it('recycles a piece only once', () => {
    const { connection } = createWorld();
    const read = connection();
    read(FULL, 'x');
    const bytes = read(FULL, 'x');
    expect([recycle(bytes), recycle(bytes)]).toEqual([true, false]);
  });

  it('does not recycle a piece with more behind it, nor bytes from elsewhere', () => {
    const { connection } = createWorld();
    const read = connection();
    const copied = read(FULL, 'x');
    const bytes = read(FULL, 'x');
    const front = bytes.subarray(0, 1000);
    expect([recycle(front), recycle(copied), recycle(Buffer.from('y'))]).toEqual([false, false, false]);
    expect(recycle(bytes.subarray(1000))).toBe(true);
  });

  it('reads from a real connection, and stops while nobody takes the bytes', async () => {
    const sent = Buffer.alloc(4 * 1024 * 1024, 'abcdefg');
    const server = createServer((socket) => socket.on('error', () => undefined).end(sent)).listen(0, '127.0.0.1');
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const socket = connect({ port, host: '127.0.0.1', ...createReadOptions() });
    await once(socket, 'readable');
    expect(socket.readableLength).toBeLessThanOrEqual(2 * FULL);
    const pieces = await socket.toArray();
    expect(Buffer.concat(pieces).equals(sent)).toBe(true);
  });
});
