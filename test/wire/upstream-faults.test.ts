// An API that is away, silent, broken or talking nonsense: each has its own code, says whether the request may have
// been executed, never sends it twice, and leaves the sidecar able to serve the next caller.
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createProxyWorld, type ProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';
import type { Answerer } from '../support/upstream.ts';

const BODY = 'Content-Length: 2\r\n\r\nhi';

async function expectAlive(world: ProxyWorld): Promise<void> {
  expect((await world.call('GET /api/alive HTTP/1.1')).status).toBe(200);
}

/** Does this to the first request and serves all others. */
const first =
  (fault: Answerer): Answerer =>
  (request, index) =>
    request.target === '/alive' ? ok('') : fault(request, index);

describe('an API that cannot be reached', () => {
  it('is 502 UPSTREAM_UNREACHABLE and nothing was executed', async () => {
    await using dead = await createProxyWorld();
    await dead.upstream[Symbol.asyncDispose]();
    const answer = await dead.call('POST /api/x HTTP/1.1', BODY);
    expect([answer.status, answer.header('x-sidecar-error')]).toEqual([502, 'UPSTREAM_UNREACHABLE']);
    expect(answer.json()).toMatchObject({ code: 'UPSTREAM_UNREACHABLE', mayHaveExecuted: false });
  });

  it('has one cause, which response, log and metric name with the host', async () => {
    await using dead = await createProxyWorld();
    await dead.upstream[Symbol.asyncDispose]();
    const problem = (await dead.call('GET /api/x HTTP/1.1')).json() as { cause: string; detail: string };
    const host = new URL(dead.upstream.url).host;
    expect(problem).toMatchObject({ cause: 'connect_refused', detail: expect.stringContaining(host) });
    await expect
      .poll(() => dead.sidecar.logs)
      .toContainEqual(
        expect.objectContaining({ cause: 'connect_refused', host, fix: expect.stringMatching(/upstream/) }),
      );
    const metrics = await (await fetch(`${dead.sidecar.adminUrl}/metrics`)).text();
    expect(metrics).toContain('aritma_sidecar_failures_total{cause="connect_refused"} 1\n');
  });

  it('is 502 for a large upload too, and the caller can go on', async () => {
    await using dead = await createProxyWorld();
    await dead.upstream[Symbol.asyncDispose]();
    using caller = await dead.open();
    const upload = `Content-Length: 5000000\r\n\r\n${'x'.repeat(5_000_000)}`;
    for (const round of [1, 2]) {
      caller.send(`POST /api/${round} HTTP/1.1\r\n${dead.host}${upload}`);
      expect((await caller.answer()).json()).toMatchObject({ code: 'UPSTREAM_UNREACHABLE', mayHaveExecuted: false });
    }
  });
});

describe('an API that breaks off before it answers', () => {
  it.each(['GET', 'POST', 'DELETE'])('is 502 UPSTREAM_RESET for %s, sent once', async (method) => {
    for (const fault of ['end', 'destroy', 'resetAndDestroy'] as const) {
      await using world = await createProxyWorld({
        answer: first(({ socket }) => {
          socket[fault]();
          return undefined;
        }),
      });
      const answer = await world.call(`${method} /api/x HTTP/1.1`, BODY);
      expect([answer.status, answer.header('x-sidecar-error')]).toEqual([502, 'UPSTREAM_RESET']);
      expect(answer.json()).toMatchObject({ code: 'UPSTREAM_RESET', mayHaveExecuted: true });
      expect(world.upstream.requests).toHaveLength(1);
      await expectAlive(world);
    }
  });

  it.each([
    ['POST', 502],
    ['GET', 200],
  ])('on a kept connection leaves %s at %i: only a safe method may go again', async (method, status) => {
    await using world = await createProxyWorld({
      answer: ({ target, socket }, index) => {
        if (target === '/warm' || index > 1) return ok('fine');
        socket.destroy();
        return undefined;
      },
    });
    await world.call('GET /api/warm HTTP/1.1');
    expect((await world.call(`${method} /api/x HTTP/1.1`, BODY)).status).toBe(status);
    const sent = world.upstream.requests.filter(({ target }) => target === '/x');
    expect(sent).toHaveLength(method === 'POST' ? 1 : 2);
  });
});

describe('an API that breaks off within its answer', () => {
  const HEADS = [
    ['a length', 'Content-Length: 1000', 'x'.repeat(500)],
    ['chunks', 'Transfer-Encoding: chunked', `1f4\r\n${'x'.repeat(500)}\r\n`],
  ] as const;

  it.each(
    ['1.0', '1.1'].flatMap((version) =>
      (['end', 'resetAndDestroy'] as const).flatMap((fault) =>
        HEADS.map(([name, ...rest]) => [version, fault, name, rest] as const),
      ),
    ),
  )(
    'is an abort to an HTTP/%s caller (%s, %s), never a clean end, never a hang',
    async (version, fault, _name, [head, part]) => {
      await using world = await createProxyWorld({
        answer: first(({ socket }) => {
          socket.write(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n${part}`, () => setTimeout(() => socket[fault](), 20));
          return undefined;
        }),
      });
      using caller = await world.open();
      caller.send(`GET /api/x HTTP/${version}\r\n${world.host}\r\n`);
      const ending = await caller.ended();
      expect(caller.received).toContain('x'.repeat(100));
      // Without length and chunks the end of the connection would be the end of the answer: only a reset says "broken".
      const marked = /content-length|transfer-encoding/i.test(caller.received);
      expect(marked || ending === 'reset').toBe(true);
      expect(caller.received).not.toContain('\r\n0\r\n\r\n');
      await expectAlive(world);
    },
  );
});

describe('an API that is silent', () => {
  it.each([
    ['GET', '\r\n'],
    ['POST', BODY],
  ])('is 504 UPSTREAM_TIMEOUT for %s, sent once', async (method, rest) => {
    await using world = await createProxyWorld({
      answer: first(() => undefined),
      config: { timeouts: { firstByte: '300ms' } },
    });
    const answer = await world.call(`${method} /api/x HTTP/1.1`, rest);
    expect([answer.status, answer.header('x-sidecar-error')]).toEqual([504, 'UPSTREAM_TIMEOUT']);
    expect(answer.json()).toMatchObject({ code: 'UPSTREAM_TIMEOUT', mayHaveExecuted: true });
    expect(world.upstream.requests).toHaveLength(1);
    await expect.poll(() => world.upstream.closed).toBe(1);
    await expectAlive(world);
  });

  it('in the middle of its answer is cut off as broken', async () => {
    await using world = await createProxyWorld({
      answer: first(() => 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf'),
      config: { timeouts: { idle: '300ms' } },
    });
    using caller = await world.open();
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    await caller.ended();
    expect(caller.received.endsWith('half')).toBe(true);
    await expectAlive(world);
  });
});

describe('an API that talks nonsense', () => {
  const HEAD = 'HTTP/1.1 200 OK\r\n';
  const body = 'Content-Length: 2\r\n\r\nhi';

  it.each([
    ['garbage', '\x00\x01\x02 no http at all\r\n\r\n'],
    ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['a TLS alert', '\x15\x03\x01\x00\x02\x02\x28'],
    ['status 000', `HTTP/1.1 000 X\r\n${body}`],
    ['status 099', `HTTP/1.1 099 X\r\n${body}`],
    ['status 600', `HTTP/1.1 600 X\r\n${body}`],
    ['status 999', `HTTP/1.1 999 X\r\n${body}`],
    ['status abc', `HTTP/1.1 abc X\r\n${body}`],
    ['status 407', `HTTP/1.1 407 X\r\nProxy-Authenticate: Basic\r\n${body}`],
    ['two lengths', `${HEAD}Content-Length: 1\r\n${body}`],
    ['a negative length', `${HEAD}Content-Length: -1\r\n\r\n`],
    ['a bad length', `${HEAD}Content-Length: 1,2\r\n\r\nhi`],
    ['a NUL in a field', `${HEAD}X: a\0b\r\n${body}`],
    ['a control character in a field', `${HEAD}X: a\x01b\r\n${body}`],
    ['a broken chunk size', `${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n`],
    ['20 KiB of headers', `${HEAD}X: ${'x'.repeat(20_000)}\r\n${body}`],
    ['seventeen interim responses', `${'HTTP/1.1 100 Continue\r\n\r\n'.repeat(17)}${ok('hi')}`],
    ['a body behind 100', `HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\nabc${ok('hi')}`],
    ['status 1000', `HTTP/1.1 1000 X\r\n\r\n${ok('hi')}`],
    ['20 KiB of headers on 100', `HTTP/1.1 100 Continue\r\nX: ${'x'.repeat(20_000)}\r\n\r\n${ok('hi')}`],
    ['101 to a request that asked for none', 'HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw'],
  ])('is 502 UPSTREAM_INVALID with %s, and the connection is given up', async (name, bytes) => {
    await using world = await createProxyWorld({ answer: first(() => bytes) });
    using caller = await world.open();
    caller.send(`POST /api/x HTTP/1.1\r\n${world.host}${BODY}`);
    if (name === 'a broken chunk size') {
      // The answer had begun by then: it can only be broken off.
      await caller.ended();
      expect(caller.received).not.toContain('0\r\n\r\n');
    } else {
      const answer = await caller.answer();
      expect([answer.status, answer.header('x-sidecar-error')]).toEqual([502, 'UPSTREAM_INVALID']);
      expect(answer.json()['mayHaveExecuted']).toBe(true);
    }
    await expect.poll(() => world.upstream.closed).toBe(1);
    expect(world.upstream.requests).toHaveLength(1);
    await expectAlive(world);
  });

  it.each([
    ['Trailer beside a length', 'HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nContent-Length: 2\r\n\r\nhi', 200, 'hi'],
    ['Trailer on 204', 'HTTP/1.1 204 No Content\r\nTrailer: X-Sum\r\n\r\n', 204, ''],
    [
      'trailers',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n',
      200,
      'hi',
    ],
    ['an obs-text reason', 'HTTP/1.1 200 \xfcber\r\nContent-Length: 2\r\n\r\nhi', 200, 'hi'],
    ['no reason', 'HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi', 200, 'hi'],
    ['a reason of its own', 'HTTP/1.1 299 Fine By Me\r\nContent-Length: 2\r\n\r\nhi', 299, 'hi'],
    ['an end instead of a length', 'HTTP/1.0 200 OK\r\n\r\nhi', 200, 'hi'],
  ])('is understood with %s', async (name, bytes, status, text) => {
    await using world = await createProxyWorld({
      answer: first(({ socket }) => {
        socket.write(bytes, 'latin1');
        if (name === 'an end instead of a length') socket.end();
        return undefined;
      }),
    });
    const answer = await world.call('GET /api/x HTTP/1.1');
    expect([answer.status, answer.body]).toEqual([status, text]);
    expect(answer.header('trailer')).toBeUndefined();
    await expectAlive(world);
  });

  it.each([
    ['surplus bytes behind the length', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiSURPLUS', 'hi'],
    ['a second answer nobody asked for', `${ok('hi')}${ok('poison')}`, 'hi'],
    ['a body on 204', 'HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison', ''],
    ['a body on 304', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison', ''],
  ])('never answers the next caller with %s', async (_case, bytes, text) => {
    await using world = await createProxyWorld({ answer: (_request, index) => (index === 0 ? bytes : ok('own')) });
    using caller = await world.open();
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    expect((await caller.answer()).body).toBe(text);
    caller.send(`GET /api/next HTTP/1.1\r\n${world.host}\r\n`);
    const next = await caller.answer();
    expect([next.status === 200 ? next.body : next.status, caller.received.includes('poison')]).toEqual([
      next.status === 200 ? 'own' : 502,
      false,
    ]);
  });
});

describe('an API that speaks on a connection on which nothing was asked', () => {
  it.each([
    ['a whole answer', ok('poison')],
    ['the beginning of one', 'HTTP/1.1 200 OK\r\nContent-Le'],
    ['a 100', 'HTTP/1.1 100 Continue\r\n\r\n'],
    ['408 before it closes', 'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n'],
    ['no HTTP', 'nothing\r\n'],
  ])('with %s loses that connection, and the next request has another', async (_what, bytes) => {
    await using world = await createProxyWorld({ answer: ({ target }) => ok(target) });
    for (let round = 0; round < 3; round += 1) {
      expect((await world.call(`POST /api/${round} HTTP/1.1`, BODY)).body).toBe(`/${round}`);
      // With an ACK on its way back the system may hold small packets, as long as to behind the next request.
      world.upstream.sockets.at(-1)?.setNoDelay().write(bytes);
      await expect.poll(() => world.upstream.closed).toBe(round + 1);
    }
    expect(world.upstream.connections).toBe(3);
  });
});

describe('a port where nobody answers', () => {
  it('costs no connection to the API when the caller only connects', async () => {
    await using world = await createProxyWorld();
    const socket = connect(world.sidecar.port, '127.0.0.1');
    await new Promise((resolve) => socket.once('connect', resolve));
    socket.destroy();
    await expectAlive(world);
    expect(world.upstream.connections).toBe(1);
  });
});
