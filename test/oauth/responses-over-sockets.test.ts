/** Any bytes at all as the token endpoint's answer, over real sockets to the sidecar's own client. */
import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Behaviour, type Outcome, openTokenLine, type TokenLine } from '../support/token-line.ts';

const B64TOKEN = /^Bearer [A-Za-z0-9._~+/-]+=*$/;
const TOKEN = { access_token: 'abc.DEF-_~+/==', token_type: 'Bearer', expires_in: 3600 };

let line: TokenLine;
beforeAll(async () => {
  line = await openTokenLine();
});
afterAll(() => line[Symbol.asyncDispose]());

const latin1 = (text: string) => Buffer.from(text, 'latin1');
const status = fc.oneof(
  { weight: 3, arbitrary: fc.constant(200) },
  { weight: 2, arbitrary: fc.constantFrom(400, 401, 403, 429, 500, 302, 404) },
  { weight: 1, arbitrary: fc.constantFrom(204, 205, 304, 100, 101, 102, 103, 99, 999) },
);

const tokenText = fc.oneof(
  { weight: 3, arbitrary: fc.constant(TOKEN.access_token) },
  fc.string({ unit: 'binary' }),
  fc.string(),
  fc.constantFrom('a\r\nX: y', 'a\0', 'a b', 'é', '=', 'a=b', 'x'.repeat(12 * 1024 + 1)),
);
const body = fc.oneof(
  fc
    .record({
      access_token: tokenText,
      token_type: fc.constantFrom('Bearer', 'bearer', 'mac'),
      expires_in: fc.anything(),
    })
    .map((fields) => JSON.stringify(fields)),
  tokenText.map((access_token) => JSON.stringify({ ...TOKEN, access_token })),
  fc.constantFrom('invalid_client', 'slow_down', '').map((error) => JSON.stringify({ error })),
  fc.json(),
  fc.constantFrom('', '[]', 'null', '\uFEFF{}', '<html>', '{"access_token":"a'),
);

/** A body with headers that say how it ends: truly, falsely or not at all. */
const framed = fc
  .tuple(body, fc.constantFrom('length', 'chunked', 'close', 'both', 'short', 'long', 'gzip', 'not gzip'))
  .map(([text, framing]): [string, Buffer] => {
    const bytes = Buffer.from(text);
    const chunked = Buffer.concat([latin1(`${bytes.length.toString(16)}\r\n`), bytes, latin1('\r\n0\r\n\r\n')]);
    const packed = gzipSync(bytes);
    const shapes: Record<string, [string, Buffer]> = {
      length: [`Content-Length: ${bytes.length}\r\n`, bytes],
      chunked: ['Transfer-Encoding: chunked\r\n', chunked],
      close: ['', bytes],
      both: [`Content-Length: ${bytes.length}\r\nTransfer-Encoding: chunked\r\n`, chunked],
      short: [`Content-Length: ${bytes.length + 7}\r\n`, bytes],
      long: [`Content-Length: ${Math.max(0, bytes.length - 3)}\r\n`, bytes],
      gzip: [`Content-Encoding: gzip\r\nContent-Length: ${packed.length}\r\n`, packed],
      'not gzip': [`Content-Encoding: gzip\r\nContent-Length: ${bytes.length}\r\n`, bytes],
    };
    return shapes[framing] ?? ['', bytes];
  });
const wellFormed = fc
  .tuple(status, framed)
  .map(([code, [headers, bytes]]) => Buffer.concat([latin1(`HTTP/1.1 ${code} X\r\n${headers}\r\n`), bytes]));

/** A good answer with some of its bytes replaced by others. */
const mutated = fc
  .tuple(wellFormed, fc.array(fc.tuple(fc.nat(), fc.nat(4), fc.uint8Array({ maxLength: 4 })), { maxLength: 5 }))
  .map(([bytes, changes]) =>
    changes.reduce<Buffer>((text, [where, length, other]) => {
      const at = where % (text.length + 1);
      return Buffer.concat([text.subarray(0, at), other, text.subarray(at + length)]);
    }, bytes),
  );
const truncated = fc.tuple(wellFormed, fc.nat()).map(([bytes, end]) => bytes.subarray(0, end % (bytes.length + 1)));
const garbage = fc.uint8Array({ maxLength: 2000 }).map((bytes) => Buffer.from(bytes));
const giantHeader = fc
  .tuple(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 4096 }))
  .map(([count, size]) => latin1(`HTTP/1.1 200 X\r\n${`X-Fill: ${'x'.repeat(size)}\r\n`.repeat(count)}\r\n`));
const chunkGarbage = fc
  .array(
    fc.oneof(
      fc.constantFrom('0\r\n', '\r\n', '5\r\nabcde\r\n', 'ffffffffffffffff\r\n', '-1\r\n', '1;x=y\r\n'),
      fc.string(),
    ),
  )
  .map((pieces) => latin1(`HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n${pieces.join('')}`));

const answer = fc.oneof(
  { weight: 3, arbitrary: mutated },
  { weight: 2, arbitrary: wellFormed },
  truncated,
  garbage,
  giantHeader,
  chunkGarbage,
);
type Ending = 'end' | 'reset' | 'hold';
const ending = fc.oneof(
  { weight: 5, arbitrary: fc.constant<Ending>('end') },
  { weight: 1, arbitrary: fc.constant<Ending>('reset') },
  { weight: 1, arbitrary: fc.constant<Ending>('hold') },
);

/** Sends the bytes in pieces, then ends the connection or leaves it open. */
async function deliver(socket: Socket, bytes: Buffer, cuts: readonly number[], how: Ending): Promise<void> {
  const positions = cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b);
  let from = 0;
  for (const to of [...positions, bytes.length]) {
    socket.write(bytes.subarray(from, to));
    from = to;
    await setImmediate();
  }
  if (how === 'end') socket.end();
  if (how === 'reset') socket.resetAndDestroy();
}

function verify({ answer: { kind, ...rest } }: Outcome): void {
  expect(['token', 'rejected', 'unavailable', 'malformed']).toContain(kind);
  if ('authorization' in rest) {
    expect(rest.authorization.reveal()).toMatch(B64TOKEN);
    expect(rest.lifetimeS).toBeGreaterThanOrEqual(1);
    expect(rest.lifetimeS).toBeLessThanOrEqual(86_400);
  }
}

function whole(code: number, fields: object): Buffer {
  const text = JSON.stringify(fields);
  return latin1(`HTTP/1.1 ${code} X\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
}

/** One of each outcome. */
const EXAMPLES: [Buffer, number[], Ending][] = [
  [whole(200, TOKEN), [5, 40, 90], 'end'],
  [whole(401, { error: 'invalid_client' }), [5], 'hold'],
  [whole(503, TOKEN), [], 'reset'],
  [whole(200, {}), [], 'hold'],
];

describe('any bytes as an answer', () => {
  it('are one of four outcomes in time, and never a token that could break out of a header', async () => {
    const kinds = new Set<string>();
    await fc.assert(
      fc.asyncProperty(answer, fc.array(fc.nat(), { maxLength: 4 }), ending, async (bytes, cuts, how) => {
        for (const outcome of await line.ask((socket) => deliver(socket, bytes, cuts, how))) {
          verify(outcome);
          kinds.add(outcome.answer.kind);
        }
      }),
      { numRuns: 300, examples: EXAMPLES },
    );
    // No outcome is what everything ends as.
    expect([...kinds].sort()).toEqual(['malformed', 'rejected', 'token', 'unavailable']);
  });

  it('behind a whole answer are never the answer to the next request', async () => {
    const granted = (access_token: string) => whole(200, { ...TOKEN, access_token });
    const surplus = fc.oneof(
      fc.constant(granted('surplus')),
      fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes)),
    );
    await fc.assert(
      fc.asyncProperty(surplus, fc.boolean(), async (bytes, together) => {
        const behaviour: Behaviour = async (socket, count) => {
          const pieces = [granted(`own-${count}`), bytes];
          for (const piece of together ? [Buffer.concat(pieces)] : pieces) socket.write(piece);
        };
        const outcomes = await line.ask(behaviour, 3);
        for (const outcome of outcomes) verify(outcome);
        const tokens = outcomes.map(({ answer: { kind, ...rest } }) =>
          'authorization' in rest ? rest.authorization.reveal() : kind,
        );
        for (const token of tokens) expect(token).not.toBe('Bearer surplus');
      }),
      { numRuns: 60 },
    );
  });
});

/** Writes the same piece for as long as the other side takes it, and lets it read in between: both are one process. */
function endlessly(start: string, piece: string): Behaviour {
  const bytes = latin1(piece.repeat(Math.ceil(16_384 / piece.length)));
  return async (socket) => {
    socket.write(latin1(start));
    while (!socket.destroyed) {
      await new Promise<void>((resolve) => socket.write(bytes, () => resolve()));
      await setImmediate();
    }
  };
}

const CHUNKED = 'HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n';
type Endless = readonly [what: string, start: string, piece: string];
const MAX_SENT_BYTES = 2 * 1024 * 1024;

/** No deadline passes meanwhile. */
async function isCutOff([, start, piece]: Endless): Promise<void> {
  for (const outcome of await line.ask(endlessly(start, piece))) {
    verify(outcome);
    expect(outcome.answer.kind).not.toBe('token');
    expect(outcome.sentBytes).toBeLessThan(MAX_SENT_BYTES);
  }
}

describe('an answer without an end', () => {
  it.each<Endless>([
    ['a chunked body', CHUNKED, '5\r\nabcde\r\n'],
    ['a body of a stated terabyte', 'HTTP/1.1 200 X\r\nContent-Length: 1000000000000\r\n\r\n', ' '],
    ['a body until the connection ends', 'HTTP/1.1 200 X\r\n\r\n', ' '],
    ['the body of an error', 'HTTP/1.1 500 X\r\n\r\n', ' '],
    ['the body of a redirect', 'HTTP/1.1 302 X\r\nLocation: /\r\n\r\n', ' '],
    ['a body said to be gzip', 'HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\n\r\n', '\x1f\x8b'],
    ['header lines', 'HTTP/1.1 200 X\r\n', 'X: y\r\n'],
    ['one header value', 'HTTP/1.1 200 X\r\nX: ', 'y'],
    ['one header name', 'HTTP/1.1 200 X\r\n', 'y'],
    ['trailers', `${CHUNKED}0\r\n`, 'X: y\r\n'],
  ])('is cut off within 2 MiB and in time: %s', (...endless) => isCutOff(endless));

  // The parser counts none of these bytes; whoever counts those of the connection does.
  it.each<Endless>([
    ['a chunk extension', `${CHUNKED}1;`, 'x'],
    ['a reason', 'HTTP/1.1 200 ', 'x'],
    ['blank lines', '', '\r\n'],
    ['interim answers', '', `HTTP/1.1 103 X\r\nX: ${'y'.repeat(8000)}\r\n\r\n`],
  ])('is cut off within 2 MiB and in time: %s', (...endless) => isCutOff(endless));
});
