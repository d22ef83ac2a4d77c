// What is told of a request body while it is received.
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { readRequestHead } from '../../src/proxy/headers.ts';
import { receiveBody } from '../../src/proxy/request-body.ts';

const CHUNK = Buffer.alloc(64 * 1024);

it('tells of every byte of a body that is streamed', async () => {
  let told = 0;
  const req = Object.assign(Readable.from([CHUNK, CHUNK, CHUNK]), { complete: true }) as unknown as IncomingMessage;
  const onForwarded = (bytes: number) => {
    told += bytes;
  };
  const head = readRequestHead(['Content-Length', String(3 * CHUNK.length)]);
  const body = await receiveBody(req, head, { replayBytes: 1024, idleMs: 1000, onForwarded });
  if (body.kind !== 'stream') throw new Error(body.kind);
  let received = 0;
  for await (const chunk of body.stream) received += (chunk as Buffer).length;
  expect([received, told]).toEqual([3 * CHUNK.length, 3 * CHUNK.length]);
});
