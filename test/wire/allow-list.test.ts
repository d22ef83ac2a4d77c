/** A route with an allow-list in front of an API that can be told in other ways what to do, and to whom. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFolder } from '../support/folder.ts';
import { createProxyWorld, type ProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';

const folder = createFolder();
const file = join(folder.path, 'audit.jsonl');
let api: ProxyWorld;
let world: ProxyWorld;

beforeAll(async () => {
  api = await createProxyWorld();
  const upstream = api.upstream.url;
  const allow = ['GET /accounts/**', 'POST /payments/*', 'HEAD /payments/*'];
  const routes = [
    { path: '/api', upstream, allow },
    { path: '/free', upstream },
    { path: '/any', upstream, allow: ['* /x/*'] },
  ];
  world = await createProxyWorld({ config: { routes, audit: { file } } });
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  await api[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

/** The status, the code of a refusal, and the request lines that reached the API. */
async function outcome(line: string, headers = '') {
  const before = api.upstream.requests.length;
  const answer = await world.call(`${line} HTTP/1.1`, `${headers}Content-Length: 0\r\n\r\n`);
  const reached = api.upstream.requests.slice(before).map(({ startLine }) => startLine);
  return [answer.header('x-sidecar-error') ?? answer.status, ...reached];
}

const REFUSED = ['ROUTE_NOT_ALLOWED'];

describe('an allow-list', () => {
  const NAMES = ['X-HTTP-Method-Override', 'x-http-method', 'X-Method-Override', 'X_HTTP_Method_Override'];

  it.each([...NAMES, 'X.Http.Method.Override', 'X-HTTP-Method-Override_'])('is not passed by %s', async (name) => {
    for (const method of ['DELETE', 'delete', ' DELETE ', 'PUT', 'POST, DELETE', 'DELETE,POST', 'X', '*'])
      expect(await outcome('POST /api/payments/1', `${name}: ${method}\r\n`), method).toEqual(REFUSED);
    expect(await outcome('POST /api/payments/1', `${name}: POST\r\n${name}: DELETE\r\n`)).toEqual(REFUSED);
    for (const method of ['POST', 'post', 'HEAD', ''])
      expect(await outcome('POST /api/payments/1', `${name}: ${method}\r\n`), method).toEqual([
        200,
        'POST /payments/1 HTTP/1.1',
      ]);
  });

  it.each([
    '_method=DELETE',
    'a=b&_method=delete',
    'a=b;_method=DELETE',
    '%5Fmethod=DELETE',
    '_%6dethod=DEL%45TE',
    '_METHOD=DELETE',
    '.method=DELETE',
    '%2Emethod=DELETE',
    '+.method=DELETE',
    '_method=POST&_method=DELETE',
    '_method=%20DELETE',
    '_method[]=DELETE',
    '_method%5Ba%5D=DELETE',
  ])('is not passed by the query %s', async (query) => {
    expect(await outcome(`POST /api/payments/1?${query}`)).toEqual(REFUSED);
  });

  it.each(['_method=POST', 'method=DELETE', 'x_method=DELETE', '_method', 'q=_method', '_methods=DELETE'])(
    'lets the query %s through',
    async (query) => {
      expect(await outcome(`POST /api/payments/1?${query}`)).toEqual([200, `POST /payments/1?${query} HTTP/1.1`]);
    },
  );

  it.each(['X-Original-URL', 'X-Rewrite-URL', 'x_original_url', 'X-Original-URI'])(
    'is not passed by %s',
    async (name) => {
      expect(await outcome('GET /api/accounts/1', `${name}: /admin\r\n`)).toEqual(REFUSED);
    },
  );

  it.each([
    '%252e%252e/admin',
    '%252E%252e%252fadmin',
    'x%252f..',
    '.%252e/admin',
    '%2e%252e/admin',
    '%25%32%65%25%32%65/admin',
    '%2525252e%2525252e/admin',
    `${'%25'.repeat(200)}2e/admin`,
    '..%253bx/admin',
    'x%255c%252e',
    '%c0%ae%c0%ae/admin',
    '%25c0%25ae/admin',
    'x%c0%afadmin',
    'x%e0%80%afadmin',
    'x%25u002fadmin',
    'x%2500',
    'x%250d%250a',
  ])('is not passed by the path /accounts/%s', async (rest) => {
    expect(await outcome(`GET /api/accounts/${rest}`)).toEqual(REFUSED);
    expect(await outcome(`GET /any/x/${rest.replaceAll('/', '')}`)).toEqual(REFUSED);
  });

  it('is not passed by dots and separators however often each character is encoded', async () => {
    const depth = fc.integer({ min: 2, max: 7 });
    const unit = fc.tuple(fc.constantFrom('.', '/', '\\'), depth, fc.boolean()).map(([char, times, upper]) => {
      let text: string = char;
      for (let round = 0; round < times; round += 1) {
        const hex = (one: string) => `%${one.charCodeAt(0).toString(16).padStart(2, '0')}`;
        text = round === 0 ? hex(text) : text.replace(/%/g, '%25');
      }
      return upper ? text.replace(/%[0-9a-f]{2}/g, (code) => code.toUpperCase()) : text;
    });
    await fc.assert(
      fc.asyncProperty(fc.array(unit, { minLength: 1, maxLength: 3 }), async (units) => {
        expect(await outcome(`GET /api/accounts/x${units.join('')}y`)).toEqual(REFUSED);
      }),
      { numRuns: 40 },
    );
  });

  it.each(['100%25', '100%2525', 'a%20b', '%e2%82%ac', 'a.b', '%c3%80'])('lets /accounts/%s through', async (rest) => {
    expect(await outcome(`GET /api/accounts/${rest}`)).toEqual([200, `GET /accounts/${rest} HTTP/1.1`]);
  });

  it('of any method lets every one be named', async () => {
    expect(await outcome('POST /any/x/1', 'X-HTTP-Method: DELETE\r\n')).toEqual([200, 'POST /x/1 HTTP/1.1']);
  });
});

describe('a list on a narrower route', () => {
  const narrow = { path: '/admin', upstream: 'http://127.0.0.1:9', allow: ['GET /x'] };

  it.each([
    '/%61dmin/pay',
    '/Admin/pay',
    '/ADM%49N',
    '/%2561dmin/pay',
    '/x/%252e%252e/admin/pay',
    '/%5cadmin',
    '/admin%2fpay',
  ])('is not led around through a wider one by %s', async (path) => {
    const routes = [narrow, { path: '/', upstream: api.upstream.url, allow: ['* /**'] }];
    const open = [narrow, { path: '/', upstream: api.upstream.url }];
    const before = api.upstream.requests.length;
    for (const config of [{ routes }, { routes: open }]) {
      await using other = await createProxyWorld({ config });
      const answer = await other.call(`POST ${path} HTTP/1.1`, 'Content-Length: 0\r\n\r\n');
      expect([answer.status, answer.header('x-sidecar-error')]).toEqual([403, 'ROUTE_NOT_ALLOWED']);
      for (const free of ['/administration', '/x/Admin', '/%41dministration'])
        expect((await other.call(`GET ${free} HTTP/1.1`)).status, free).toBe(200);
    }
    expect(api.upstream.requests.length - before).toBe(6);
  });
});

describe('a route without an allow-list', () => {
  it('sends all of it on, byte for byte', async () => {
    const target = 'a%252e%252e%252fb/%c0%ae?_method=DELETE';
    const lines = 'X-HTTP-Method-Override: DELETE\r\nX-Original-URL: /admin\r\n';
    expect(await outcome(`POST /free/${target}`, lines)).toEqual([200, `POST /${target} HTTP/1.1`]);
    const seen = api.upstream.requests.at(-1)?.fields.map(([name, value]) => `${name}: ${value}`);
    expect(seen).toEqual(expect.arrayContaining(['X-HTTP-Method-Override: DELETE', 'X-Original-URL: /admin']));
  });

  it.each([
    ['X-HTTP-Method-Override: TRACE\r\n', ''],
    ['x-http-method: track\r\n', ''],
    ['X-Method-Override: GET, CONNECT\r\n', ''],
    ['', '?_method=trace'],
  ])('sends no method on that is never sent on, by %j%j neither', async (lines, query) => {
    expect(await outcome(`POST /free/x${query}`, lines)).toEqual(['CALLER_METHOD_REFUSED']);
  });

  it('takes a GET that names a method which changes something for what it may be', async () => {
    await world.call('GET /free/named?_method=POST HTTP/1.1', 'Content-Length: 2\r\n\r\nhi');
    await world.call('GET /free/plain HTTP/1.1');
    const entries = () =>
      readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line.includes('"method":"GET"'));
    await expect.poll(entries).toHaveLength(1);
    expect(JSON.parse(entries()[0] ?? '')).toMatchObject({
      path: '/free/named',
      sha256: createHash('sha256').update('hi').digest('hex'),
    });
  });

  it('does not send such a GET again when its connection broke', async () => {
    await using other = await createProxyWorld({
      answer: ({ socket, target }) => (target === '/first' ? ok('fine') : (void socket.destroy() as undefined)),
    });
    for (const [name, tries] of [
      ['X-HTTP-Method-Override', 1],
      ['X-Other', 2],
    ] as const) {
      await other.call('GET /api/first HTTP/1.1');
      const before = other.upstream.requests.length;
      expect((await other.call('GET /api/x HTTP/1.1', `${name}: POST\r\n\r\n`)).status).toBe(502);
      expect(other.upstream.requests.length - before, name).toBe(tries);
    }
  });
});
