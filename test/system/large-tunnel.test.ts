// A hundred million bytes each way at once through one WebSocket of a sidecar of its own process: every byte arrives, and
// none of them stays in memory.
import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type Duplex, Readable } from 'node:stream';
import { expect, it } from 'vitest';
import WebSocket, { createWebSocketStream, WebSocketServer } from 'ws';
import { residentBytes } from '../support/processes.ts';
import { startSidecarProcess } from '../support/sidecar-process.ts';
import { startTokenServer } from '../support/token-server.ts';

const MIB = 1024 * 1024;
const SIZE = 100_000_000;
const BLOCK = Buffer.alloc(64 * 1024);

/** Never the same twice, so that no block can stand in for another. */
function* noise(size: number): Generator<Buffer> {
  const cipher = createCipheriv('aes-128-ctr', randomBytes(16), randomBytes(16));
  for (let left = size; left > 0; left -= BLOCK.length) yield cipher.update(BLOCK.subarray(0, left));
}

/** Sends and receives that much; the SHA-256 of both. */
async function talk(stream: Duplex, size: number): Promise<readonly [sent: string, received: string]> {
  const [sent, received] = [createHash('sha256'), createHash('sha256')];
  const source = Readable.from(noise(size)).on('data', (chunk: Buffer) => sent.update(chunk));
  source.pipe(stream, { end: false });
  let left = size;
  for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    received.update(chunk);
    left -= chunk.length;
    if (left <= 0) break;
  }
  if (!source.readableEnded) await once(source, 'end');
  expect(left).toBe(0);
  return [sent.digest('hex'), received.digest('hex')];
}

it.skipIf(residentBytes(process.pid) === undefined)(
  '100 MB each way through a WebSocket arrive whole and cost less than 64 MiB of memory (needs /proc)',
  async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
    await once(server, 'listening');
    const tokens = await startTokenServer();
    await using sidecar = await startSidecarProcess({
      upstream: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      tokenEndpoint: tokens.url,
      route: { upgrade: true },
    });
    const accepted = once(server, 'connection') as Promise<[WebSocket]>;
    const client = new WebSocket(`ws://127.0.0.1:${sidecar.port}/api/x`, { perMessageDeflate: false });
    const [theirs] = await accepted;
    const ends = [createWebSocketStream(client), createWebSocketStream(theirs)] as const;
    const both = (size: number) => Promise.all(ends.map((end) => talk(end, size)));
    await both(16 * MIB);
    const before = residentBytes(sidecar.pid) ?? 0;
    let peak = before;
    const timer = setInterval(() => {
      peak = Math.max(peak, residentBytes(sidecar.pid) ?? 0);
    }, 20);
    const [[up, down] = [], [sent, received] = []] = await both(SIZE).finally(() => clearInterval(timer));
    expect([received, down]).toEqual([up, sent]);
    const grownMiB = (peak - before) / MIB;
    process.stdout.write(`memory grown by ${grownMiB.toFixed(1)} MiB from ${(before / MIB).toFixed(1)} MiB\n`);
    expect(grownMiB).toBeLessThan(64);
    const closed = once(client, 'close');
    client.close();
    await closed;
    await expect.poll(() => sidecar.metric('aritma_sidecar_requests_in_flight')).toBe(0);
    server.close();
    await tokens.close();
  },
);
