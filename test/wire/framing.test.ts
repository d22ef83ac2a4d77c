// A body keeps its bytes and its bounds whatever the method: what is left unframed on a kept connection becomes the
// next request, with the company's token (CVE-2026-29057).
import { describe, expect, it } from 'vitest';
import { withinOwn } from '../support/own-time.ts';
import { createProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
/** A body that would be a request of its own if it ever stood alone. */
const SMUGGLED = 'DELETE /api/accounts/1 HTTP/1.1\r\nHost: evil\r\nContent-Length: 0\r\n\r\n';
const LARGE = SMUGGLED + 'x'.repeat(150_000) + SMUGGLED;

const chunked = (...pieces: readonly string[]) =>
  `Transfer-Encoding: chunked\r\n\r\n${pieces.map((piece) => `${piece.length.toString(16)};x=y\r\n${piece}\r\n`).join('')}0\r\n\r\n`;
const sized = (body: string) => `Content-Length: ${body.length}\r\n\r\n${body}`;

const BODIES: readonly [name: string, rest: string, body: string, framing: readonly string[]][] = [
  ['no body', '\r\n', '', ['none', 'length']],
  ['a length of zero', 'Content-Length: 0\r\n\r\n', '', ['none', 'length']],
  ['a small body', sized(SMUGGLED), SMUGGLED, ['length']],
  ['a length with a leading zero', `Content-Length: 0${sized(SMUGGLED).slice(16)}`, SMUGGLED, ['length']],
  ['a large body', sized(LARGE), LARGE, ['length']],
  ['small chunks', chunked(SMUGGLED.slice(0, 10), SMUGGLED.slice(10)), SMUGGLED, ['length', 'chunked']],
  ['no chunk but the last', 'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n', '', ['none', 'length', 'chunked']],
  ['large chunks', chunked(LARGE.slice(0, 70_000), LARGE.slice(70_000)), LARGE, ['chunked']],
  [
    'chunks with trailers',
    `Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nAuthorization: Bearer evil\r\nX-Trailer: 1\r\n\r\n`,
    'hi',
    ['length', 'chunked'],
  ],
];

describe('framing towards the API', () => {
  it.each(METHODS.flatMap((method) => BODIES.map(([name, ...rest]) => [method, name, rest] as const)))(
    '%s with %s is one request with that body, and the next one on the connection is clean',
    async (method, _name, [rest, body, framing]) => {
      await using world = await createProxyWorld({ answer: (request) => ok(request.method === 'HEAD' ? '' : 'fine') });
      using caller = await world.open();
      caller.send(`${method} /api/first HTTP/1.1\r\n${world.host}${rest}`);
      expect((await caller.answer({ toHead: method === 'HEAD' })).status).toBe(200);
      caller.send(`GET /api/second HTTP/1.1\r\n${world.host}\r\n`);
      expect((await caller.answer()).body).toBe('fine');
      const seen = world.upstream.requests.map((request) => [request.method, request.target, request.body === body]);
      expect(seen).toEqual([
        [method, '/first', true],
        ['GET', '/second', body === ''],
      ]);
      expect(framing).toContain(world.upstream.requests[0]?.framing);
      expect(world.upstream.leftovers().join('')).toBe('');
      expect(world.upstream.received.join('')).not.toMatch(/X-Trailer|Bearer evil/);
    },
  );

  it.each(['0x1', '+1', ' 1', '1 ', '-1', '', 'g', 'ffffffffffffffffff'])(
    'refuses the chunk size %j; no whole request reaches the API',
    async (size) => {
      await using world = await createProxyWorld();
      using caller = await world.open();
      const rest = `Transfer-Encoding: chunked\r\n\r\n${size}\r\na\r\n0\r\n\r\n`;
      caller.send(`POST /api/x HTTP/1.1\r\n${world.host}${rest}`);
      expect((await caller.answer()).status).toBe(400);
      expect(await caller.ended()).toBe('end');
      expect(world.upstream.requests).toEqual([]);
    },
  );

  it('breaks off the upload when a chunk in its middle is malformed', async () => {
    await using world = await createProxyWorld();
    using caller = await world.open();
    const head = `POST /api/x HTTP/1.1\r\n${world.host}Transfer-Encoding: chunked\r\n\r\n`;
    caller.send(`${head}${(100_000).toString(16)}\r\n${'x'.repeat(100_000)}\r\n`);
    await expect.poll(() => world.upstream.received.join('').length).toBeGreaterThan(100_000);
    caller.send('zz\r\nmore\r\n0\r\n\r\n');
    await withinOwn(3000, () => expect.poll(() => world.upstream.closed).toBe(1));
    expect(world.upstream.requests).toEqual([]);
    expect(world.upstream.received.join('').endsWith('\r\n0\r\n\r\n')).toBe(false);
  });
});
