// Expect: 100-continue (RFC 9110 §10.1.1): the go-ahead comes from the sidecar, and only once the request is admitted.
import { describe, expect, it } from 'vitest';
import { createProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';
import { json } from '../support/token-server.ts';

const EXPECT = 'Expect: 100-continue\r\n';

describe('Expect: 100-continue', () => {
  it.each([
    ['a length', (body: string) => `Content-Length: ${body.length}\r\n\r\n`, (body: string) => body],
    [
      'chunks',
      () => 'Transfer-Encoding: chunked\r\n\r\n',
      (body: string) => `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    ],
  ])('is answered with 100 before the body, with %s; the API sees no Expect', async (_case, head, frame) => {
    for (const body of ['hello', 'x'.repeat(5_000_000)]) {
      await using world = await createProxyWorld({ answer: (request) => ok(String(request.body.length)) });
      using caller = await world.open();
      caller.send(`POST /api/x HTTP/1.1\r\n${world.host}${EXPECT}${head(body)}`);
      expect((await caller.answer()).status).toBe(100);
      caller.send(frame(body));
      expect(await caller.answer({ timeoutMs: 15_000 })).toMatchObject({ status: 200, body: String(body.length) });
      expect(world.upstream.received.join('')).not.toMatch(/expect/i);
    }
  });

  it.each([
    ['a denied path', 'POST /other HTTP/1.1', '', 404],
    ['a web page', 'POST /api/x HTTP/1.1', 'Origin: https://evil\r\n', 403],
    ['another proxy', 'POST /api/x HTTP/1.1', 'Via: 1.1 other\r\n', 403],
  ])('gets the final status and no 100 for %s', async (_case, line, header, status) => {
    await using world = await createProxyWorld();
    using caller = await world.open();
    caller.send(`${line}\r\n${world.host}${header}${EXPECT}Content-Length: 5\r\n\r\n`);
    expect((await caller.answer()).status).toBe(status);
    expect(world.upstream.connections).toBe(0);
  });

  it('gets 503 and no 100 when no token can be had', async () => {
    await using world = await createProxyWorld({ config: { token: { waitTimeout: '900ms' } } });
    world.tokens.answerWith(json(500, {}));
    await fetch(`${world.sidecar.adminUrl}/token/refresh`, { method: 'POST' });
    const answer = await world.call('POST /api/x HTTP/1.1', `${EXPECT}Content-Length: 5\r\n\r\n`);
    expect([answer.status, answer.header('x-sidecar-error')]).toEqual([503, 'TOKEN_UNAVAILABLE']);
  });

  it('is told by 417 that no other expectation is understood', async () => {
    await using world = await createProxyWorld();
    const answer = await world.call('POST /api/x HTTP/1.1', 'Expect: wonders\r\nContent-Length: 0\r\n\r\n');
    expect([answer.status, answer.header('x-sidecar-error')]).toEqual([417, 'CALLER_EXPECTATION']);
  });

  it('is ignored in HTTP/1.0', async () => {
    await using world = await createProxyWorld();
    const answer = await world.call('POST /api/x HTTP/1.0', `${EXPECT}Content-Length: 2\r\n\r\nhi`);
    expect([answer.status, world.upstream.requests.map(({ body }) => body)]).toEqual([200, ['hi']]);
  });
});
