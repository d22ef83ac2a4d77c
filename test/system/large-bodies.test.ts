// A gibibyte each way through a sidecar of its own process: every byte arrives and none of them stays in memory.
import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Processes, residentBytes, startProcesses } from '../support/processes.ts';

const MIB = 1024 * 1024;
const SIZE = 1024 * MIB;
const PERIOD = 251;
/** Whole periods of the emulator's pattern, byte i = i modulo 251. */
const BLOCK = Buffer.from(Array.from({ length: PERIOD * 1024 }, (_, index) => index % PERIOD));

let processes: Processes;
let expected: string;
beforeAll(async () => {
  processes = await startProcesses();
  const hash = createHash('sha256');
  for (const block of blocks(SIZE)) hash.update(block);
  expected = hash.digest('hex');
});
afterAll(() => processes[Symbol.asyncDispose]());

function* blocks(size: number): Generator<Buffer> {
  for (let left = size; left > 0; left -= BLOCK.length) yield left < BLOCK.length ? BLOCK.subarray(0, left) : BLOCK;
}

interface Echo {
  readonly bytes: number;
  readonly sha256: string;
}

/** Chunked, because no length is given. */
async function upload(size: number): Promise<Echo> {
  const { promise, resolve, reject } = Promise.withResolvers<Readable>();
  const call = request(`${processes.url}/echo/upload`, { method: 'PUT' }, resolve).on('error', reject);
  const [answer] = await Promise.all([promise, pipeline(Readable.from(blocks(size)), call)]);
  return JSON.parse(Buffer.concat(await answer.toArray()).toString()) as Echo;
}

async function download(size: number): Promise<Echo> {
  const { promise, resolve, reject } = Promise.withResolvers<Readable>();
  request(`${processes.url}/echo/bytes/${size}`, resolve).on('error', reject).end();
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of (await promise) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { bytes, sha256: hash.digest('hex') };
}

/** Runs it and tells how far the sidecar's memory rose above where it began. */
async function withPeak<T>(work: () => Promise<T>): Promise<{ result: T; grownMiB: number }> {
  const before = residentBytes(processes.pid) ?? 0;
  let peak = before;
  const timer = setInterval(() => {
    peak = Math.max(peak, residentBytes(processes.pid) ?? 0);
  }, 20);
  const result = await work().finally(() => clearInterval(timer));
  return { result, grownMiB: (peak - before) / MIB };
}

describe('a gibibyte', () => {
  const grown: Record<string, number> = {};

  it.each([
    ['up', upload],
    ['down', download],
  ])('%s arrives whole', async (direction, run) => {
    for (let round = 0; round < 8; round += 1) await run(16 * MIB);
    const { result, grownMiB } = await withPeak(() => run(SIZE));
    grown[direction] = grownMiB;
    expect(result).toMatchObject({ bytes: SIZE, sha256: expected });
  });

  it.skipIf(residentBytes(process.pid) === undefined)('costs less than 64 MiB of memory (needs /proc)', () => {
    process.stdout.write(`memory grown by ${JSON.stringify(grown)} MiB\n`);
    expect(Object.keys(grown)).toEqual(['up', 'down']);
    for (const mib of Object.values(grown)) expect(mib).toBeLessThan(64);
  });
});
