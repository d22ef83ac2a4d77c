import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MessageReader } from './wire.ts';

/** What comes out when the bytes arrive in pieces that end at the given places. */
function read(text: string, cuts: readonly number[]): [startLine: string, bodyBytes: number][] {
  const messages: [string, number][] = [];
  const reader = new MessageReader((head, bodyBytes) => messages.push([head.split('\r\n', 1)[0] ?? '', bodyBytes]));
  const bytes = Buffer.from(text);
  let from = 0;
  for (const to of [...cuts.toSorted((a, b) => a - b), bytes.length]) {
    if (to > from) reader.feed(bytes.subarray(from, to));
    from = Math.max(from, to);
  }
  return messages;
}

const CHUNKED =
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n10;x=1\r\n0123456789abcdef\r\n0\r\nX: y\r\n\r\n';
const SIZED = 'HTTP/1.1 201 Created\r\ncontent-length: 12\r\n\r\nhello, world';
const EMPTY = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';

describe('wire reader', () => {
  it('separates messages and counts their bodies, wherever the pieces end', () => {
    const text = CHUNKED + SIZED + EMPTY + CHUNKED;
    const expected = [
      ['HTTP/1.1 200 OK', 21],
      ['HTTP/1.1 201 Created', 12],
      ['GET / HTTP/1.1', 0],
      ['HTTP/1.1 200 OK', 21],
    ];
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 30 }), (cuts) => {
        expect(read(text, cuts)).toEqual(expected);
      }),
    );
  });

  it('reports no message that has not ended', () => {
    expect(read(SIZED.slice(0, -1), [])).toEqual([]);
    expect(read(CHUNKED.slice(0, -2), [])).toEqual([]);
  });
});
