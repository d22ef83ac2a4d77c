// When and in which pieces an answer leaves for its caller.
import { describe, expect, it } from 'vitest';
import type { Exchange } from '../../src/proxy/exchange.ts';
import { createWriteBatch, ResponseWriter } from '../../src/proxy/response-writer.ts';

/** Of what a caller has not taken; none where nobody says so. */
interface Reader {
  readonly unread: number;
}

type Step = readonly [who: string, what: string, bytes?: string];

/**
 * What one exchange and its upstream are told, in order, with those of others.
 * @param inFlight requests on all connections
 */
function createWorld(inFlight = 2) {
  const steps: Step[] = [];
  const passed: number[] = [];
  const writeBatch = createWriteBatch();
  const open = (who: string, length?: string, kind: 'none' | 'stream' = 'none', reader: Reader = { unread: 0 }) => {
    const note = (what: string) => (bytes?: Buffer | string) =>
      void steps.push(bytes === undefined ? [who, what] : [who, what, bytes.toString()]);
    const res = {
      get writableLength() {
        return reader.unread;
      },
      write: (chunk: Buffer, taken?: () => void) => {
        if (taken) steps.push([who, 'asks']);
        note('write')(chunk);
        return true;
      },
      end: note('end'),
      once: () => note('once')(),
      off: note('off'),
    };
    const exchange = {
      res,
      body: { kind },
      idleMs: 1000,
      bytesOut: 0,
      context: {
        connections: { inFlight: () => inFlight },
        onForwarded: (bytes: number) => void passed.push(bytes),
        writeBatch,
      },
    } as unknown as Exchange;
    const upstream = { pause: note('pause'), resume: note('resume'), abort: note('abort') };
    const writer = new ResponseWriter(exchange, {
      resolve: () => note('left')(),
      reject: (error: unknown) => note('failed')(String(error)),
    });
    writer.begin(upstream as never, length);
    return writer;
  };
  return { steps, passed, open };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('src/proxy/response-writer.ts', () => {
  it('lets the end of the only running request leave at once: no other can leave together with it', () => {
    const { steps, open } = createWorld(1);
    const answer = open('a', '2');
    answer.write(Buffer.from('a!'));
    answer.end();
    expect(steps).toEqual([
      ['a', 'end', 'a!'],
      ['a', 'left'],
    ]);
  });

  it('lets the ends of a turn leave one right after the other, once all that has arrived is read', async () => {
    const { steps, open } = createWorld();
    for (const who of ['a', 'b']) {
      const answer = open(who, '2');
      answer.write(Buffer.from(`${who}!`));
      answer.end();
      steps.push([who, 'read']);
    }
    await turn();
    expect(steps).toEqual([
      ...[['a', 'read'] as const, ['b', 'read'] as const],
      ...[['a', 'end', 'a!'] as const, ['a', 'left'] as const, ['b', 'end', 'b!'] as const, ['b', 'left'] as const],
    ]);
  });

  it('lets the others leave where one cannot', async () => {
    const { steps, open } = createWorld();
    const broken = {
      toString: () => {
        throw new Error('no text');
      },
      length: 2,
    } as unknown as Buffer;
    const first = open('a', '2');
    first.write(broken);
    first.end();
    open('b', '0').end();
    await turn();
    expect(steps).toEqual([
      ['a', 'failed', 'Error: no text'],
      ['b', 'end'],
      ['b', 'left'],
    ]);
  });

  it('keeps what ends while others leave for a turn of its own, and forgets none', async () => {
    const { steps, open } = createWorld();
    open('a', '0').end();
    await turn();
    open('b', '0').end();
    await turn();
    expect(steps).toEqual([
      ['a', 'end'],
      ['a', 'left'],
      ['b', 'end'],
      ['b', 'left'],
    ]);
  });

  it.each([
    { why: 'it is not all of it', length: '5', kind: 'none' },
    { why: 'nobody said how long it is', length: undefined, kind: 'none' },
    { why: 'the request is still being sent', length: '2', kind: 'stream' },
  ] as const)('writes content at once where $why', ({ length, kind }) => {
    const { steps, open } = createWorld();
    open('a', length, kind).write(Buffer.from('hi'));
    expect(steps).toEqual([['a', 'write', 'hi']]);
  });

  it('tells of content that leaves in pieces, and of none that leaves whole', () => {
    const { open, passed } = createWorld();
    open('a', '2').write(Buffer.from('hi'));
    expect(passed).toEqual([]);
    for (const size of [65_536, 1000]) open('b').write(Buffer.alloc(size));
    expect(passed).toEqual([65_536, 1000]);
  });

  it('ignores empty pieces', () => {
    const { steps, open } = createWorld();
    open('a').write(Buffer.alloc(0));
    expect(steps).toEqual([]);
  });

  it('pauses the API for a large piece only when the caller is behind', () => {
    const { steps, open } = createWorld();
    const reader = { unread: 0 };
    const answer = open('a', undefined, 'none', reader);
    answer.write(Buffer.alloc(65_536));
    reader.unread = 65_536;
    answer.write(Buffer.alloc(65_536));
    answer.write(Buffer.alloc(65_536));
    expect(steps.map(([, what]) => what)).toEqual(['write', 'write', 'once', 'pause', 'write']);
    answer.stopWaiting();
  });

  it('writes content at once that is too large to be worth a copy', () => {
    const { steps, open } = createWorld();
    open('a', String(16 * 1024)).write(Buffer.alloc(16 * 1024));
    open('b', String(16 * 1024 + 1)).write(Buffer.alloc(16 * 1024 + 1));
    expect(steps.map(([who, what]) => [who, what])).toEqual([['b', 'write']]);
  });

  it('writes the first of many small pieces at once and the others of its turn together', async () => {
    const { steps, open } = createWorld();
    const answer = open('a');
    for (let count = 0; count < 40_000; count += 1) answer.write(Buffer.from('x'));
    answer.write(Buffer.alloc(2000, 'y'));
    answer.write(Buffer.from('z'));
    await turn();
    answer.end();
    await turn();
    const [turns, rest] = [
      steps.filter(([, what]) => /pause|resume/.test(what)),
      steps.filter(([, what]) => !/pause|resume/.test(what)),
    ];
    // Others have their turn meanwhile.
    expect(turns.map(([, what]) => what)).toEqual(['pause', 'resume']);
    expect(rest.map(([, what, bytes]) => [what, bytes?.length])).toEqual([
      ...[1, 16_384, 16_384, 7231, 2000, 1].map((length) => ['write', length]),
      ['end', undefined],
      ['left', undefined],
    ]);
    expect(steps.map(([, , bytes = '']) => bytes).join('')).toBe(`${'x'.repeat(40_000)}${'y'.repeat(2000)}z`);
  });

  it('reads no more of the API when many writes wait, however short they are', async () => {
    const { steps, open } = createWorld();
    const reader = { unread: 0 };
    const answer = open('a', undefined, 'none', reader);
    for (let count = 0; count < 64; count += 1) {
      answer.write(Buffer.from('x'));
      reader.unread += 1;
      await turn();
    }
    expect(steps.filter(([, what]) => what !== 'write').map(([, what]) => what)).toEqual(['asks', 'pause']);
    answer.end();
  });
});
