// The API's answer reaches the caller unchanged, whatever it says and however it is framed.
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { valuesOf } from '../support/messages.ts';
import { createProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';
import { until } from '../support/until.ts';

const sized = (status: string, fields: string, body = '') =>
  `HTTP/1.1 ${status}\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`;

describe('answers of the API', () => {
  it.each([301, 302, 303, 307, 308])('with %i are passed on and never followed', async (status) => {
    await using world = await createProxyWorld({
      answer: () => sized(`${status} Moved`, 'Location: http://127.0.0.1:1/evil\r\n', 'there'),
    });
    const answer = await world.call('GET /api/x HTTP/1.1');
    expect([answer.status, answer.header('location'), answer.body]).toEqual([
      status,
      'http://127.0.0.1:1/evil',
      'there',
    ]);
    expect(world.upstream.requests).toHaveLength(1);
  });

  it.each([400, 403, 404, 409, 422, 429, 500, 502, 503, 504])(
    'with problem %i are passed on as the API said it',
    async (status) => {
      const problem = '{"type":"about:blank","title":"No","status":400,"code":"TOKEN_UNAVAILABLE"}';
      const fields =
        'Content-Type: application/problem+json\r\nRetry-After: 7\r\nX-Sidecar-Error: TOKEN_UNAVAILABLE\r\n';
      await using world = await createProxyWorld({ answer: () => sized(`${status} No`, fields, problem) });
      const answer = await world.call('POST /api/x HTTP/1.1', 'Content-Length: 2\r\n\r\nhi');
      expect([answer.status, answer.body, answer.header('retry-after')]).toEqual([status, problem, '7']);
      expect(answer.header('x-sidecar-error')).toBeUndefined();
      expect(world.upstream.requests).toHaveLength(1);
    },
  );

  it('keep encoded bodies, two cookies, both challenges and the order of fields', async () => {
    const zipped = gzipSync('x'.repeat(10_000)).toString('latin1');
    const fields =
      'Server: api\r\nSet-Cookie: a=1\r\nContent-Encoding: gzip\r\nSet-Cookie: b=2\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n' +
      'WWW-Authenticate: Bearer realm="a", error="insufficient_scope"\r\nWWW-Authenticate: Basic realm="b"\r\n';
    await using world = await createProxyWorld({ answer: () => sized('401 No', fields, zipped) });
    const answer = await world.call('POST /api/x HTTP/1.1', 'Accept-Encoding: gzip\r\nContent-Length: 0\r\n\r\n');
    expect(answer.body === zipped).toBe(true);
    expect(valuesOf(answer, 'set-cookie')).toEqual(['a=1', 'b=2']);
    expect(valuesOf(answer, 'www-authenticate')).toHaveLength(2);
    expect(valuesOf(answer, 'date')).toEqual(['Thu, 01 Jan 2026 00:00:00 GMT']);
    const names = answer.fields.map(([name]) => name).slice(0, 8);
    expect(names.join()).toBe(
      'Server,Set-Cookie,Content-Encoding,Set-Cookie,Date,WWW-Authenticate,WWW-Authenticate,Content-Length',
    );
  });

  it('get a Date and the request id where they have none, and keep the id they have', async () => {
    await using world = await createProxyWorld({
      answer: ({ target }) => ok('x', target === '/own' ? 'X-Request-Id: api-1\r\n' : ''),
    });
    const answer = await world.call('GET /api/x HTTP/1.1', 'X-Request-Id: ride-1\r\n\r\n');
    expect([valuesOf(answer, 'x-request-id'), valuesOf(answer, 'date').length]).toEqual([['ride-1'], 1]);
    expect(valuesOf(await world.call('GET /api/own HTTP/1.1'), 'x-request-id')).toEqual(['api-1']);
  });

  it('lose what belongs to one connection and what Connection names', async () => {
    const fields =
      'Connection: close, x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\nUpgrade: h2c\r\nProxy-Authenticate: Basic\r\n';
    await using world = await createProxyWorld({ answer: () => sized('200 OK', fields, 'x') });
    const answer = await world.call('GET /api/x HTTP/1.1');
    expect(valuesOf(answer, 'connection')).toEqual(['keep-alive']);
    expect(valuesOf(answer, 'keep-alive')).not.toContain('timeout=1');
    for (const name of ['x-hop', 'upgrade', 'proxy-authenticate'])
      expect([name, answer.header(name)]).toEqual([name, undefined]);
  });

  it.each([
    ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3\r\n yo\r\n0\r\n\r\n', false],
    ['an end', 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi yo', true],
  ])('delimited by %s reach HTTP/1.1 in chunks and HTTP/1.0 without any coding', async (_case, bytes, ends) => {
    await using world = await createProxyWorld({
      answer({ socket }) {
        socket.write(bytes);
        if (ends) socket.end();
        return undefined;
      },
    });
    const modern = await world.call('GET /api/x HTTP/1.1');
    expect([modern.framing, modern.body]).toEqual(['chunked', 'hi yo']);
    for (const keep of ['', 'Connection: keep-alive\r\n']) {
      const old = await world.call('GET /api/x HTTP/1.0', `${keep}\r\n`);
      expect([old.framing, old.body, old.header('transfer-encoding')]).toEqual(['close', 'hi yo', undefined]);
    }
  });

  it('keep an HTTP/1.0 connection that asked for it, when the length is known', async () => {
    await using world = await createProxyWorld();
    using caller = await world.open();
    for (let round = 0; round < 3; round += 1) {
      caller.send(`GET /api/x HTTP/1.0\r\n${world.host}Connection: keep-alive\r\n\r\n`);
      expect((await caller.answer()).body).toBe('fine');
    }
  });

  it.each([
    ['HEAD with a length', 'HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n', 200, ['1000']],
    ['HEAD without one', 'HEAD', 'HTTP/1.1 200 OK\r\n\r\n', 200, []],
    ['204', 'GET', 'HTTP/1.1 204 No Content\r\n\r\n', 204, []],
    ['304 with a length', 'GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n', 304, ['1000']],
  ])('to %s have no body, and the connection goes on', async (_case, method, ...rest) => {
    const [bytes, status, lengths] = rest;
    await using world = await createProxyWorld({ answer: ({ target }) => (target === '/x' ? bytes : ok('next')) });
    using caller = await world.open();
    caller.send(`${method} /api/x HTTP/1.1\r\n${world.host}\r\n`);
    const answer = await caller.answer({ toHead: true });
    expect([answer.status, valuesOf(answer, 'content-length')]).toEqual([status, lengths]);
    caller.send(`GET /api/next HTTP/1.1\r\n${world.host}\r\n`);
    expect((await caller.answer()).body).toBe('next');
  });

  it('come in the order of the requests, each of which was judged', async () => {
    await using world = await createProxyWorld({
      answer({ target, socket }) {
        // The later the request, the sooner the answer.
        setTimeout(() => socket.write(ok(target)), 60 - Number(target.slice(1)) * 2);
        return undefined;
      },
    });
    using caller = await world.open();
    const targets = Array.from({ length: 30 }, (_, index) => (index % 5 === 4 ? `/denied/${index}` : `/api/${index}`));
    caller.send(targets.map((target) => `GET ${target} HTTP/1.1\r\n${world.host}\r\n`).join(''));
    for (const target of targets) {
      const answer = await caller.answer();
      expect(answer.status === 404 ? `/denied/${target.split('/')[2]}` : `/api${answer.body}`).toBe(target);
    }
    for (const request of world.upstream.requests)
      expect(valuesOf(request, 'authorization')).toEqual(['Bearer token-1']);
  });

  it('to pipelined payments are waited for before the next one is sent (RFC 9112 §9.3.2)', async () => {
    await using world = await createProxyWorld({
      answer({ target, socket }) {
        setTimeout(() => socket.write(ok(target)), 100);
        return undefined;
      },
    });
    using caller = await world.open();
    for (const id of [1, 2, 3]) caller.send(`POST /api/${id} HTTP/1.1\r\n${world.host}Content-Length: 2\r\n\r\nhi`);
    for (const id of [1, 2, 3]) {
      expect((await caller.answer()).body).toBe(`/${id}`);
      expect(world.upstream.requests.length).toBeLessThanOrEqual(id + 1);
      expect(world.upstream.requests.map(({ target }) => target).slice(0, id)).toEqual(['/1', '/2', '/3'].slice(0, id));
    }
  });

  it('reach the caller piece by piece, not when they are whole', async () => {
    await using world = await createProxyWorld({
      answer: () => 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n',
    });
    using caller = await world.open();
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    await world.upstream.untilRequests(1);
    for (const event of ['one', 'two', 'three']) {
      world.upstream.requests[0]?.socket.write(`${event.length.toString(16)}\r\n${event}\r\n`);
      await expect.poll(() => caller.received).toContain(event);
    }
  });
});

describe('the token, repeated by the API', () => {
  const ECHO = 'X-Token-1: Bearer token-1\r\ntoken-1: a\r\nLocation: /?a=%74oken-1&b\r\nSet-Cookie: a=token-1\r\n';

  it.each([
    ['the reason', sized('200 Bearer token-1 is fine', ECHO, 'fine')],
    ['an error', sized('500 token-1token-1', `${ECHO}WWW-Authenticate: Bearer realm="token-1"\r\n`, 'no')],
    ['an interim response', `HTTP/1.1 103 token-1\r\nLink: <token-1>\r\n${ECHO}\r\n${ok('fine')}`],
    [
      'trailers',
      `HTTP/1.1 200 OK\r\n${ECHO}Trailer: token-1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\ntoken-1: token-1\r\n\r\n`,
    ],
    ['a 401 that is passed on', sized('401 token-1', `${ECHO}WWW-Authenticate: Basic realm="token-1"\r\n`)],
  ])('does not reach the caller in %s', async (_where, bytes) => {
    await using world = await createProxyWorld({ answer: () => bytes });
    using caller = await world.open();
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}Connection: close\r\n\r\n`);
    await caller.ended();
    expect(caller.received).toMatch(/^HTTP\/1\.1 \d{3} .*\[token\]|x-\*token\*: Bearer \[token\]/);
    expect(caller.received).not.toMatch(/token-1/i);
    expect(world.sidecar.rawLogs.join('')).not.toContain('token-1');
  });

  it('does not reach the caller in the head of a switch of protocols', async () => {
    const bytes = `HTTP/1.1 101 token-1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${ECHO}\r\n`;
    await using api = await createProxyWorld({ answer: () => bytes });
    const routes = [{ path: '/api', upstream: api.upstream.url, upgrade: true }];
    await using world = await createProxyWorld({ config: { routes } });
    const offer = 'Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
    using caller = await world.open();
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}${offer}`);
    await until('the head is there', () => caller.received.includes('\r\n\r\n'));
    expect(caller.received).toMatch(/^HTTP\/1\.1 101 /);
    expect(caller.received).toContain('x-*token*: Bearer [token]');
    expect(caller.received).not.toMatch(/token-1/i);
  });
});

describe('answers of the API to a browser', () => {
  const own = "Content-Security-Policy: default-src 'self'\r\n";

  it.each([
    ['Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\nSec-Fetch-Dest: document\r\n', 200],
    ['Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Dest: iframe\r\n', 200],
    ['Upgrade-Insecure-Requests: 1\r\n', 200],
    ['upgrade-insecure-requests: 1\r\n', 404],
    ['Sec_Fetch_Mode: navigate\r\n', 500],
  ])('that opens a page by %j have one line more: its scripts may do nothing', async (lines, status) => {
    await using world = await createProxyWorld({ answer: () => sized(`${status} So`, own, '<h1>') });
    const answer = await world.call('GET /api/x HTTP/1.1', `${lines}\r\n`);
    expect(valuesOf(answer, 'content-security-policy')).toEqual(["default-src 'self'", 'sandbox']);
    expect([answer.status, answer.body]).toEqual([status, '<h1>']);
    expect(world.upstream.requests).toHaveLength(1);
  });

  it.each(['', 'Accept: text/html\r\nUser-Agent: Mozilla/5.0\r\n', 'Sec-Fetch-Mode: cors\r\n'])(
    'have none where the caller is a program that sends %j',
    async (lines) => {
      await using world = await createProxyWorld({ answer: () => sized('200 OK', own, '<h1>') });
      const answer = await world.call('GET /api/x HTTP/1.1', `${lines}\r\n`);
      expect(valuesOf(answer, 'content-security-policy')).toEqual(["default-src 'self'"]);
    },
  );
});
