// What the API receives of a caller's request, byte for byte: request line, host, headers, the one token.
import { describe, expect, it } from 'vitest';
import { valuesOf } from '../support/messages.ts';
import { createProxyWorld } from '../support/proxy-world.ts';

describe('request as the API receives it', () => {
  it('has the route cut off, the base path in front, our token last and nothing of the connection', async () => {
    await using world = await createProxyWorld({ basePath: '/v1' });
    const lines = [
      'Accept: text/plain',
      'Authorization: Bearer of-the-caller',
      'x-Case: kept',
      'Connection: keep-alive, x-hop',
      'X-Hop: 1',
      'Keep-Alive: timeout=5',
      'TE: trailers',
      'Trailer: X-Sum',
      'Upgrade: h2c',
      'HTTP2-Settings: AAA',
      'Proxy-Authorization: Basic x',
      'Proxy-Connection: keep-alive',
      'X-Case: twice',
      'X-Request-Id: ride-1',
    ];
    const answer = await world.call('GET /api/a%2Fb;c=%41?x=%0a&y=//.. HTTP/1.1', `${lines.join('\r\n')}\r\n\r\n`);
    expect([answer.status, answer.body]).toEqual([200, 'fine']);
    const authority = new URL(world.upstream.url).host;
    expect(world.upstream.received).toEqual([
      `GET /v1/a%2Fb;c=%41?x=%0a&y=//.. HTTP/1.1\r\nhost: ${authority}\r\nconnection: keep-alive\r\n` +
        'Accept: text/plain\r\nx-Case: kept\r\nX-Case: twice\r\n' +
        'Via: 1.1 aritma-sidecar\r\nX-Request-Id: ride-1\r\nAuthorization: Bearer token-1\r\n\r\n',
    ]);
  });

  it.each([
    'authorization, via, x-api-key',
    'Authorization',
    'close, host, content-length, x-request-id, transfer-encoding',
  ])('keeps what we inject when the caller sends Connection: %s', async (options) => {
    await using world = await createProxyWorld();
    const rest = `Connection: ${options}\r\nX-Api-Key: 1\r\nAuthorization: Bearer evil\r\nContent-Length: 2\r\n\r\nhi`;
    expect((await world.call('POST /api/x HTTP/1.1', rest)).status).toBe(200);
    const [request] = world.upstream.requests;
    if (!request) throw new Error('no request arrived');
    expect(valuesOf(request, 'authorization')).toEqual(['Bearer token-1']);
    expect(valuesOf(request, 'via')).toEqual(['1.1 aritma-sidecar']);
    expect(valuesOf(request, 'host')).toEqual([new URL(world.upstream.url).host]);
    expect(valuesOf(request, 'x-request-id')).toHaveLength(1);
    expect(valuesOf(request, 'x-api-key')).toEqual(options.includes('x-api-key') ? [] : ['1']);
    expect(request.body).toBe('hi');
  });

  it('passes obs-text bytes unchanged both ways', async () => {
    const bytes = Buffer.from(Array.from({ length: 128 }, (_, index) => 128 + index)).toString('latin1');
    await using world = await createProxyWorld({
      answer: () => `HTTP/1.1 200 OK\r\nX-Down: ${bytes}\r\nContent-Length: 0\r\n\r\n`,
    });
    const answer = await world.call('GET /api/x HTTP/1.1', `X-Up: ${bytes}\r\n\r\n`);
    expect(answer.header('x-down')).toBe(bytes);
    expect(world.upstream.requests.map((request) => valuesOf(request, 'x-up'))).toEqual([[bytes]]);
  });

  it('survives a field called __proto__ in both directions', async () => {
    await using world = await createProxyWorld({
      answer: () => 'HTTP/1.1 200 OK\r\n__proto__: down\r\nconstructor: c\r\nContent-Length: 0\r\n\r\n',
    });
    const answer = await world.call('GET /api/x HTTP/1.1', '__proto__: up\r\nconstructor: c\r\n\r\n');
    expect([answer.status, answer.header('__proto__')]).toEqual([200, 'down']);
    expect(world.upstream.requests.map((request) => valuesOf(request, '__proto__'))).toEqual([['up']]);
  });

  it.each([
    ['two hosts', 'GET /api/x HTTP/1.1\r\nHOST\r\nHOST\r\n\r\n', 400],
    ['no host', 'GET /api/x HTTP/1.1\r\n\r\n', 400],
    ['a foreign host', 'GET /api/x HTTP/1.1\r\nHost: evil.example\r\n\r\n', 421],
    ['another authority as target', 'GET //evil/x HTTP/1.1\r\nHOST\r\n\r\n', 400],
    ['a backslash', 'GET /\\evil/x HTTP/1.1\r\nHOST\r\n\r\n', 400],
    ['a foreign absolute form', 'GET http://evil/api/x HTTP/1.1\r\nHOST\r\n\r\n', 421],
    ['an asterisk', 'GET * HTTP/1.1\r\nHOST\r\n\r\n', 400],
    ['an asterisk for OPTIONS', 'OPTIONS * HTTP/1.1\r\nHOST\r\n\r\n', 400],
    ['a fragment', 'GET /api/x#y HTTP/1.1\r\nHOST\r\n\r\n', 400],
    ['a raw byte from 0x80', 'GET /api/\xe9 HTTP/1.1\r\nHOST\r\n\r\n', 400],
    ['TRACE', 'TRACE /api/x HTTP/1.1\r\nHOST\r\n\r\n', 405],
    ['CONNECT', 'CONNECT evil:443 HTTP/1.1\r\nHOST\r\n\r\n', 405],
    ['HTTP/2.0', 'GET /api/x HTTP/2.0\r\nHOST\r\n\r\n', 400],
    ['HTTP/0.9', 'GET /api/x HTTP/0.9\r\nHOST\r\n\r\n', 400],
    [
      'a length and a coding',
      'POST /api/x HTTP/1.1\r\nHOST\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    [
      'a coding and a length',
      'POST /api/x HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
      400,
    ],
    ['a hidden coding', 'POST /api/x HTTP/1.1\r\nHOST\r\nTransfer-Encoding: \xa0chunked\r\n\r\n0\r\n\r\n', 400],
    ['a foreign coding', 'POST /api/x HTTP/1.1\r\nHOST\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n', 400],
    ['a coding in HTTP/1.0', 'POST /api/x HTTP/1.0\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
    ['two lengths', 'POST /api/x HTTP/1.1\r\nHOST\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab', 400],
    ['a list of lengths', 'POST /api/x HTTP/1.1\r\nHOST\r\nContent-Length: 1,1\r\n\r\na', 400],
    ['a signed length', 'POST /api/x HTTP/1.1\r\nHOST\r\nContent-Length: +1\r\n\r\na', 400],
    ['an endless length', 'POST /api/x HTTP/1.1\r\nHOST\r\nContent-Length: 99999999999999999999\r\n\r\na', 400],
    ['a folded field', 'GET /api/x HTTP/1.1\r\nHOST\r\nX: a\r\n b\r\n\r\n', 400],
    ['a bare CR', 'GET /api/x HTTP/1.1\r\nHOST\r\nX: a\rY: b\r\n\r\n', 400],
    ['a NUL', 'GET /api/x HTTP/1.1\r\nHOST\r\nX: a\0b\r\n\r\n', 400],
    ['a space before the colon', 'GET /api/x HTTP/1.1\r\nHOST\r\nX : a\r\n\r\n', 400],
    ['101 headers', `GET /api/x HTTP/1.1\r\nHOST\r\n${'X: 1\r\n'.repeat(100)}\r\n`, 431],
    [
      '2005 headers before a length',
      `GET /api/x HTTP/1.1\r\nHOST\r\n${'a:\r\n'.repeat(2005)}Content-Length: 2\r\n\r\nhi`,
      431,
    ],
    ['17 KiB of headers', `GET /api/x HTTP/1.1\r\nHOST\r\nX: ${'x'.repeat(17_000)}\r\n\r\n`, 431],
    ['a target of 9 KiB', `GET /api/${'x'.repeat(9000)} HTTP/1.1\r\nHOST\r\n\r\n`, 414],
    ['an unknown path', 'GET /other HTTP/1.1\r\nHOST\r\n\r\n', 404],
    ['Origin', 'POST /api/x HTTP/1.1\r\nHOST\r\nOrigin: https://evil\r\nContent-Length: 2\r\n\r\nhi', 403],
    [
      'a websocket of a web page',
      'GET /api/x HTTP/1.1\r\nHOST\r\nOrigin: https://evil\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
      403,
    ],
    [
      'an upgrade for another host',
      'GET /api/x HTTP/1.1\r\nHost: evil\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
      421,
    ],
    ['Via', 'GET /api/x HTTP/1.1\r\nHOST\r\nVia: 1.1 other\r\n\r\n', 403],
  ])('does not reach the API with %s, and the caller is told why', async (_case, bytes, status) => {
    await using world = await createProxyWorld();
    using caller = await world.open();
    caller.send(bytes.replaceAll('HOST\r\n', world.host));
    const answer = await caller.answer();
    expect(answer.status).toBe(status);
    expect(answer.header('content-type')).toBe('application/problem+json');
    expect(answer.header('x-sidecar-error')).toBe(answer.json()['code']);
    expect(answer.json()).toMatchObject({ status, requestId: expect.any(String), type: expect.any(String) });
    expect(world.upstream.connections).toBe(0);
  });
});
