// Any 1xx before the final response, asked for or not, is no response (RFC 9110 §15.2): it neither fails the request nor
// begins the response, and no byte that is not one is taken for one.
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';

const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n';
const HINTS = 'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n';
const REQUESTS = [
  ['GET', '\r\n'],
  ['POST', 'Content-Length: 2\r\n\r\nhi'],
  ['PUT', `Content-Length: 500000\r\n\r\n${'x'.repeat(500_000)}`],
  ['POST', `Transfer-Encoding: chunked\r\n\r\n7a120\r\n${'x'.repeat(500_000)}\r\n0\r\n\r\n`],
] as const;

describe('an unasked 100 Continue', () => {
  it.each([
    ['alone', CONTINUE],
    ['sixteen times', CONTINUE.repeat(16)],
    ['with fields', 'HTTP/1.1 100 Continue\r\nServer: IIS\r\nDate: now\r\n\r\n'],
    ['without a reason', 'HTTP/1.1 100\r\n\r\n'],
    ['of HTTP/1.0', 'HTTP/1.0 100 Continue\r\n\r\n'],
  ])('is left out, %s, and the connection is used again', async (_how, interim) => {
    await using world = await createProxyWorld({ answer: (_request, index) => interim + ok(String(index)) });
    using caller = await world.open();
    for (const [index, [method, rest]] of REQUESTS.entries()) {
      caller.send(`${method} /api/x HTTP/1.1\r\n${world.host}${rest}`);
      expect(await caller.answer()).toMatchObject({ status: 200, body: String(index) });
    }
    expect(world.upstream.connections).toBe(1);
  });

  it('is left out wherever the network cuts it, together with hints that go on to the caller', async () => {
    const bytes = `${CONTINUE}${HINTS}${CONTINUE}${ok('fine')}`;
    await using world = await createProxyWorld({
      answer({ socket }, index) {
        const at = Math.min(index + 1, bytes.length);
        const parts = index === 0 ? [...bytes] : [bytes.slice(0, at), bytes.slice(at)];
        void parts.reduce(async (before, part) => {
          await before;
          await new Promise((resolve) => socket.write(part, resolve));
          await setTimeout(1);
        }, Promise.resolve());
        return undefined;
      },
    });
    const AT_ONCE = 8;
    const play = async (first: number) => {
      using caller = await world.open();
      for (let cut = first; cut < bytes.length; cut += AT_ONCE) {
        caller.send(`GET /api/${cut} HTTP/1.1\r\n${world.host}\r\n`);
        expect((await caller.answer()).status).toBe(103);
        expect(await caller.answer()).toMatchObject({ status: 200, body: 'fine' });
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, (_, first) => play(first)));
    expect(world.upstream.connections).toBeLessThanOrEqual(AT_ONCE);
  });

  it('is content where it stands in content, at the beginning of a packet as well', async () => {
    const content = CONTINUE.repeat(20);
    await using world = await createProxyWorld({
      answer({ socket }) {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${content.length}\r\n\r\n`, () =>
          setTimeout(5).then(() => socket.write(content)),
        );
        return undefined;
      },
    });
    for (const [method, rest] of REQUESTS) {
      expect((await world.call(`${method} /api/x HTTP/1.1`, rest)).body).toBe(content);
    }
  });

  it.each([0, 1])(
    'says that the API has the request: it is not sent again when the connection then ends, number %i',
    async (at) => {
      await using world = await createProxyWorld({
        answer({ socket }, index) {
          if (index !== at) return ok(String(index));
          socket.end(CONTINUE);
          return undefined;
        },
      });
      for (let index = 0; index <= at; index += 1) {
        expect((await world.call('GET /api/x HTTP/1.1')).status).toBe(index === at ? 502 : 200);
      }
      expect(world.upstream.requests).toHaveLength(at + 1);
    },
  );
});

describe('interim responses without an end', () => {
  it.each([
    ['hints', HINTS],
    ['100', CONTINUE],
    ['102', 'HTTP/1.1 102 Processing\r\n\r\n'],
  ])('in a flood end the request with 502 after the sixteenth: %s', async (_name, interim) => {
    await using world = await createProxyWorld({ answer: () => interim.repeat(1000) });
    using caller = await world.open();
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    let answer = await caller.answer();
    while (answer.status < 200) answer = await caller.answer();
    expect([answer.status, answer.json()]).toEqual([
      502,
      expect.objectContaining({ code: 'UPSTREAM_INVALID', mayHaveExecuted: true }),
    ]);
    await expect.poll(() => world.upstream.closed).toBe(1);
  });

  it.each([
    ['hints', HINTS],
    ['100', CONTINUE],
  ])('that come slowly do not wind up firstByte: %s', async (_name, interim) => {
    let sent = 0;
    await using world = await createProxyWorld({
      answer({ socket }) {
        const timer = setInterval(() => {
          socket.write(interim);
          sent += 1;
        }, 150);
        socket.once('close', () => clearInterval(timer));
        return undefined;
      },
      config: { timeouts: { firstByte: '400ms' } },
    });
    using caller = await world.open();
    caller.send(`POST /api/x HTTP/1.1\r\n${world.host}Content-Length: 2\r\n\r\nhi`);
    let answer = await caller.answer();
    while (answer.status < 200) answer = await caller.answer();
    expect([answer.status, answer.json()['code'], answer.json()['mayHaveExecuted']]).toEqual([
      504,
      'UPSTREAM_TIMEOUT',
      true,
    ]);
    // Wound up by each, it would have taken all sixteen.
    expect(sent).toBeLessThan(16);
  });
});
