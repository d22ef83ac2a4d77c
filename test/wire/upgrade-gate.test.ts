/** Offers to upgrade at the gate: refused like requests, and otherwise requests like all others. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { withinOwn } from '../support/own-time.ts';
import { createProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';
import { createUpgradeWorld, OFFER, startHandshakeUpstream } from '../support/upgrade-world.ts';
import { startUpstream } from '../support/upstream.ts';

const H2C = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n';

describe('an offer to upgrade that is refused', () => {
  it.each([
    ['a foreign Host', 'GET /api/x HTTP/1.1\r\nHost: evil.test\r\n', 421, 'CALLER_HOST'],
    ['two Hosts', 'GET /api/x HTTP/1.1\r\n{host}{host}', 400, 'CALLER_REQUEST_INVALID'],
    ['no Host', 'GET /api/x HTTP/1.1\r\n', 400, 'CALLER_REQUEST_INVALID'],
    ['a web page', 'GET /api/x HTTP/1.1\r\n{host}Origin: https://evil.test\r\n', 403, 'CALLER_ORIGIN'],
    ['our own origin', 'GET /api/x HTTP/1.1\r\n{host}Origin: http://127.0.0.1\r\n', 403, 'CALLER_ORIGIN'],
    ['a cross-site fetch', 'GET /api/x HTTP/1.1\r\n{host}Sec-Fetch-Site: cross-site\r\n', 403, 'CALLER_ORIGIN'],
    ['Forwarded', 'GET /api/x HTTP/1.1\r\n{host}Forwarded: for=1.2.3.4\r\n', 403, 'CALLER_FORWARDED'],
    ['X-Forwarded-For', 'GET /api/x HTTP/1.1\r\n{host}X-Forwarded-For: 1.2.3.4\r\n', 403, 'CALLER_FORWARDED'],
    ['a second slash', 'GET //evil.test/api/x HTTP/1.1\r\n{host}', 400, 'CALLER_REQUEST_INVALID'],
    ['a foreign authority', 'GET http://evil.test/api/x HTTP/1.1\r\n{host}', 421, 'CALLER_HOST'],
    ['a foreign scheme', 'GET ws://127.0.0.1/api/x HTTP/1.1\r\n{host}', 400, 'CALLER_REQUEST_INVALID'],
    ['dot segments', 'GET /api/../x HTTP/1.1\r\n{host}', 400, 'CALLER_REQUEST_INVALID'],
    ['encoded dot segments', 'GET /api/%2e%2e/x HTTP/1.1\r\n{host}', 400, 'CALLER_REQUEST_INVALID'],
    ['a backslash', 'GET /api\\..\\x HTTP/1.1\r\n{host}', 400, 'CALLER_REQUEST_INVALID'],
    ['a fragment', 'GET /api/x#y HTTP/1.1\r\n{host}', 400, 'CALLER_REQUEST_INVALID'],
    ['no route', 'GET /none HTTP/1.1\r\n{host}', 404, 'ROUTE_NOT_FOUND'],
    ['a path that is not on the list', 'GET /listed/other HTTP/1.1\r\n{host}', 403, 'ROUTE_NOT_ALLOWED'],
    ['a path that is there for POST', 'GET /listed/no HTTP/1.1\r\n{host}', 403, 'ROUTE_NOT_ALLOWED'],
    ['101 fields', `GET /api/x HTTP/1.1\r\n{host}${'X: 1\r\n'.repeat(101)}`, 431, 'CALLER_HEADERS_TOO_LARGE'],
    ['a long target', `GET /api/${'x'.repeat(8200)} HTTP/1.1\r\n{host}`, 414, 'CALLER_TARGET_TOO_LONG'],
    ['an expectation', 'GET /api/x HTTP/1.1\r\n{host}Expect: 200-maybe\r\n', 417, 'CALLER_EXPECTATION'],
    ['TRACE', 'TRACE /api/x HTTP/1.1\r\n{host}', 405, 'CALLER_METHOD_REFUSED'],
  ])('for %s: the answer is that of a request, the API sees nothing', async (_why, head, status, code) => {
    const upstream = await startHandshakeUpstream();
    await using world = await createUpgradeWorld(upstream.url);
    const sent = head.replaceAll('{host}', world.host);
    for (const [fields, behind] of [
      [OFFER, 'early'],
      ['', ''],
    ]) {
      using caller = await world.open();
      caller.send(`${sent}${fields}\r\n${behind}`);
      const answer = await caller.answer();
      expect([answer.status, answer.header('x-sidecar-error')]).toEqual([status, code]);
      expect(answer.header('content-type')).toBe('application/problem+json');
      expect(answer.json()).toMatchObject({ code, status });
    }
    expect(upstream.conversations).toEqual([]);
  });

  it('leaves the API alone also when the same connection was let through before', async () => {
    const upstream = await startHandshakeUpstream(() => ok('fine'));
    await using world = await createUpgradeWorld(upstream.url);
    using caller = await world.open();
    caller.send(`GET /plain/x HTTP/1.1\r\n${world.host}\r\n`);
    expect((await caller.answer()).status).toBe(200);
    caller.send(`GET /api/x HTTP/1.1\r\nHost: evil.test\r\n${OFFER}\r\n`);
    expect((await caller.answer()).status).toBe(421);
    expect(upstream.conversations.map(({ rest }) => rest)).toEqual(['']);
  });
});

describe('an offer to upgrade that is not taken', () => {
  it.each([
    ['a WebSocket on a route without upgrades', `GET /plain/x HTTP/1.1\r\n{host}${OFFER}\r\n`],
    ['h2c', `GET /api/x HTTP/1.1\r\n{host}${H2C}\r\n`],
    ['h2c and WebSocket', `GET /api/x HTTP/1.1\r\n{host}Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n`],
    ['a WebSocket by POST', `POST /api/x HTTP/1.1\r\n{host}${OFFER}\r\n`],
    ['a WebSocket by GET with a body', `GET /api/x HTTP/1.1\r\n{host}${OFFER}Content-Length: 2\r\n\r\nhi`],
    ['h2c by POST with a body', `POST /api/x HTTP/1.1\r\n{host}${H2C}Content-Length: 2\r\n\r\nhi`],
    [
      'h2c by POST in chunks',
      `POST /api/x HTTP/1.1\r\n{host}${H2C}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n`,
    ],
    ['a WebSocket not named in Connection', 'GET /api/x HTTP/1.1\r\n{host}Upgrade: websocket\r\n\r\n'],
    ['a WebSocket over HTTP/1.0', `GET /api/x HTTP/1.0\r\n{host}${OFFER}\r\n`],
  ])('%s: an ordinary request without the offer', async (_name, bytes) => {
    const upstream = await startUpstream(() => ok('fine'));
    onTestFinished(() => upstream[Symbol.asyncDispose]());
    await using world = await createUpgradeWorld(upstream.url);
    using caller = await world.open();
    caller.send(bytes.replace('{host}', world.host));
    const answer = await caller.answer();
    expect([answer.status, answer.body]).toEqual([200, 'fine']);
    expect(upstream.requests).toHaveLength(1);
    const [{ fields, body } = { fields: [], body: '' }] = upstream.requests;
    expect(body).toBe(bytes.includes('hi') ? 'hi' : '');
    const names = JSON.stringify(fields).toLowerCase();
    expect(names).not.toMatch(/upgrade|h2c|http2-settings/);
    expect(names).toContain('bearer token-1');
  });
});

describe('requests behind an offer to upgrade that is not taken', () => {
  const get = (path: string, host: string, fields = '') => `GET ${path} HTTP/1.1\r\n${host}${fields}\r\n`;

  it.each([
    ['h2c', H2C],
    ['a WebSocket', OFFER],
  ])('are served in order, each one judged: %s', async (_name, fields) => {
    await using world = await createProxyWorld({ answer: ({ target }) => ok(target) });
    using caller = await world.open();
    const { host } = world;
    const post = `POST /api/3 HTTP/1.1\r\n${host}Content-Length: 2\r\n\r\nhi`;
    for (let round = 0; round < 3; round += 1) {
      caller.send(get('/api/1', host, fields) + get('/api/2', host) + get('/none', host) + post);
      const seen: unknown[] = [];
      for (let count = 0; count < 4; count += 1) {
        const { status, body } = await caller.answer();
        seen.push(status === 200 ? body : status);
      }
      expect(seen).toEqual(['/1', '/2', 404, '/3']);
    }
  });

  it('are served a hundred times on one connection, without leaving anything behind', async () => {
    const warnings: Error[] = [];
    const note = (warning: Error) => void warnings.push(warning);
    process.on('warning', note);
    await using world = await createProxyWorld({ answer: ({ target }) => ok(target) });
    using caller = await world.open();
    for (let count = 0; count < 100; count += 1) {
      caller.send(get(`/api/${count}`, world.host, H2C));
      expect((await caller.answer()).body).toBe(`/${count}`);
    }
    expect(world.upstream.connections).toBeLessThan(4);
    expect(await world.inFlight()).toBe(0);
    process.off('warning', note);
    expect(warnings).toEqual([]);
  });

  it('may come in pieces and much later than the headers may take', async () => {
    await using world = await createProxyWorld({ config: { timeouts: { callerHeaders: '1s' } } });
    using caller = await world.open();
    caller.send(get('/api/1', world.host, H2C));
    await caller.answer();
    await new Promise((resolve) => setTimeout(resolve, 3500));
    const next = get('/api/2', world.host);
    caller.send(next.slice(0, 10));
    await new Promise((resolve) => setTimeout(resolve, 20));
    caller.send(next.slice(10));
    expect((await caller.answer()).status).toBe(200);
    caller.send('GET /api/3');
    expect((await caller.answer()).status).toBe(408);
  });

  it.each([
    ['has a body', '', `POST /api/1 HTTP/1.1\r\n{host}${H2C}Content-Length: 2\r\n\r\nhi`],
    [
      'comes behind an unanswered request',
      'GET /api/0 HTTP/1.1\r\n{host}\r\n',
      `GET /api/1 HTTP/1.1\r\n{host}${H2C}\r\n`,
    ],
  ])('are not served where Node loses some of them; the answer before says close: the offer %s', async (...row) => {
    const [, before, offer] = row;
    await using world = await createProxyWorld({ answer: ({ target }) => ok(target) });
    using caller = await world.open();
    caller.send(`${before}${offer}${get('/api/2', '{host}')}`.replaceAll('{host}', world.host));
    if (before) expect((await caller.answer()).body).toBe('/0');
    const answer = await caller.answer();
    expect([answer.body, answer.header('connection')]).toEqual(['/1', 'close']);
    expect(await caller.ended()).toBe('end');
    expect(world.upstream.requests.map(({ target }) => target)).not.toContain('/2');
  });

  it('do not keep a stop waiting, nor an end', async () => {
    await using world = await createProxyWorld();
    using caller = await world.open();
    using leaving = await world.open();
    for (const one of [caller, leaving]) {
      one.send(get('/api/1', world.host, H2C));
      await one.answer();
    }
    leaving.socket.end();
    expect(await withinOwn(1000, () => leaving.ended())).toBe('end');
    expect(await world.sidecar.stop()).toBe(true);
    expect(await withinOwn(1000, () => caller.ended())).toBe('end');
  });

  it('may be cut off by a caller that leaves before its answer', async () => {
    await using world = await createProxyWorld({ answer: () => undefined });
    for (const leave of ['end', 'destroy', 'resetAndDestroy'] as const) {
      const before = world.upstream.closed;
      using caller = await world.open();
      caller.send(get('/api/1', world.host, H2C));
      await expect.poll(() => world.upstream.requests.length).toBe(before + 1);
      caller.socket[leave]();
      await expect.poll(() => world.upstream.closed).toBe(before + 1);
      await expect.poll(() => world.inFlight()).toBe(0);
    }
  });

  it('survive a large answer that is read slowly', async () => {
    const body = 'x'.repeat(4 * 1024 * 1024);
    await using world = await createProxyWorld({ answer: () => ok(body) });
    using caller = await world.open({ paused: true });
    caller.send(get('/api/1', world.host, H2C) + get('/api/2', world.host));
    await world.upstream.untilRequests(1);
    caller.read();
    expect((await caller.answer()).body).toHaveLength(body.length);
    expect((await caller.answer()).body).toHaveLength(body.length);
  });
});

describe('an answer of 101 that nobody asked for', () => {
  it.each([
    ['a plain request', ''],
    ['a request that offered h2c', H2C],
  ])('to %s is 502', async (_name, fields) => {
    const bytes = 'HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nraw';
    const upstream = await startHandshakeUpstream(() => bytes);
    await using world = await createUpgradeWorld(upstream.url);
    const answer = await world.call('GET /api/x HTTP/1.1', `${fields}\r\n`);
    expect([answer.status, answer.header('x-sidecar-error')]).toEqual([502, 'UPSTREAM_INVALID']);
  });
});
