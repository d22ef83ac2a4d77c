/** Keys that make payments safe to repeat, bounds on bodies and on time, and interim answers, over raw sockets. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFakeClock } from '../support/clock.ts';
import { createDeadline, type Deadline } from '../support/deadline.ts';
import { valuesOf } from '../support/messages.ts';
import { untilQuiet } from '../support/own-time.ts';
import { createProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';
import { until } from '../support/until.ts';

const INVALID = 'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer error="invalid_token"\r\nContent-Length: 0\r\n\r\n';
const POST = 'POST /api/pay HTTP/1.1';
const HI = 'Content-Length: 2\r\n\r\nhi';

/** A sidecar whose one route has these options, in front of an API of its own. */
async function routeWorld(options: object, api: Parameters<typeof createProxyWorld>[0] = {}) {
  const upstream = await createProxyWorld(api);
  const routes = [{ path: '/api', upstream: upstream.upstream.url, ...options }];
  const clock = createFakeClock();
  const world = await createProxyWorld({ config: { routes, ...api?.config }, clock });
  await clock.advance(2000);
  return {
    world,
    seen: upstream.upstream.requests,
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
    },
  };
}

describe('idempotency: inject', () => {
  it('sends one key, the same on the replay after a 401, and tells it to the caller', async () => {
    await using route = await routeWorld(
      { idempotency: 'inject' },
      { answer: (_request, index) => (index === 0 ? INVALID : ok('paid')) },
    );
    const answer = await route.world.call(POST, HI);
    const keys = route.seen.flatMap((request) => valuesOf(request, 'idempotency-key'));
    expect(keys).toHaveLength(2);
    expect(new Set(keys)).toEqual(new Set([answer.header('idempotency-key')]));
    expect([answer.status, answer.body]).toEqual([200, 'paid']);
  });

  it('tells it also when the API broke the connection, so that the caller can ask with it', async () => {
    await using route = await routeWorld(
      { idempotency: 'inject' },
      { answer: ({ socket }) => void socket.destroy() as undefined },
    );
    const answer = await route.world.call(POST, HI);
    expect([answer.status, answer.json()['mayHaveExecuted']]).toEqual([502, true]);
    expect(route.seen.flatMap((request) => valuesOf(request, 'idempotency-key'))).toEqual([
      answer.header('idempotency-key'),
    ]);
  });

  it('leaves the caller’s own key alone and does not repeat it', async () => {
    await using route = await routeWorld({ idempotency: 'inject' });
    const answer = await route.world.call(POST, `Idempotency-Key: mine\r\n${HI}`);
    expect(route.seen.flatMap((request) => valuesOf(request, 'idempotency-key'))).toEqual(['mine']);
    expect(answer.header('idempotency-key')).toBeUndefined();
  });
});

describe('rewriteLocation', () => {
  it('leads to this route in the response and in what comes before it, as the API names itself', async () => {
    await using route = await routeWorld(
      { rewriteLocation: true },
      {
        answer(request) {
          const [host = ''] = valuesOf(request, 'host');
          const fields = `Link: <//${host}/a>; rel="next, <x>", </b>\r\n__proto__: x\r\n`;
          const hints = `HTTP/1.1 103 Early Hints\r\n${fields}\r\n`;
          return `${hints}${ok('', `Location: HTTP://${host}/c?d\r\nContent-Location: //${host}\r\n${fields}`)}`;
        },
      },
    );
    const { world } = route;
    using caller = await world.open();
    caller.send(`POST /api/pay HTTP/1.1\r\n${world.host}${HI}`);
    const [hints, answer] = [await caller.answer(), await caller.answer()];
    const link = `<${world.sidecar.url}/api/a>; rel="next, <x>", </api/b>`;
    expect([hints.status, hints.header('link'), hints.header('__proto__')]).toEqual([103, link, 'x']);
    expect([answer.status, answer.header('link'), answer.header('__proto__')]).toEqual([200, link, 'x']);
    expect(answer.header('location')).toBe(`${world.sidecar.url}/api/c?d`);
    expect(answer.header('content-location')).toBe(`${world.sidecar.url}/api`);
  });
});

describe('limits.requestBody', () => {
  const config = { limits: { requestBody: '100KiB' } };
  const big = 'x'.repeat(200 * 1024);

  it('refuses an announced body before anything is sent, and before the go-ahead', async () => {
    await using world = await createProxyWorld({ config });
    const answer = await world.call(POST, `Expect: 100-continue\r\nContent-Length: ${big.length}\r\n\r\n`);
    expect([answer.status, answer.header('x-sidecar-error')]).toEqual([413, 'CALLER_BODY_TOO_LARGE']);
    const whole = await world.call(POST, `Content-Length: ${big.length}\r\n\r\n${big}`);
    expect(whole.status).toBe(413);
    expect(world.upstream.requests).toEqual([]);
  });

  it('breaks a chunked body off that grows past it, and the API never sees it end', async () => {
    await using world = await createProxyWorld({ config });
    const chunk = `8000\r\n${'x'.repeat(0x8000)}\r\n`;
    const answer = await world.call(POST, `Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(6)}0\r\n\r\n`);
    expect([answer.status, answer.header('x-sidecar-error')]).toEqual([413, 'CALLER_BODY_TOO_LARGE']);
    expect(world.upstream.requests).toEqual([]);
    await expect.poll(world.inFlight).toBe(0);
  });

  it('lets a body of exactly that size through', async () => {
    await using world = await createProxyWorld({ config });
    const exact = 'x'.repeat(100 * 1024);
    expect((await world.call(POST, `Content-Length: ${exact.length}\r\n\r\n${exact}`)).status).toBe(200);
    expect(world.upstream.requests[0]?.body).toBe(exact);
  });
});

describe('timeouts.total', () => {
  let deadline: Deadline;
  let config: Record<string, unknown>;
  beforeEach(() => {
    deadline = createDeadline();
    config = { timeouts: { total: `${deadline.ms}ms` } };
  });
  afterEach(() => deadline[Symbol.dispose]());

  it('ends a wait for the API’s answer with 504, which says that it may have been executed', async () => {
    await using world = await createProxyWorld({ config, answer: () => undefined });
    const asked = world.call(POST, HI);
    await world.upstream.untilRequests(1);
    await untilQuiet();
    deadline.pass();
    const answer = await asked;
    expect([answer.status, answer.json()['code'], answer.json()['mayHaveExecuted']]).toEqual([
      504,
      'UPSTREAM_TIMEOUT',
      true,
    ]);
    await expect.poll(() => world.upstream.closed).toBe(1);
    await expect.poll(world.inFlight).toBe(0);
  });

  it('ends a wait for the rest of the caller’s body with 504, and sends nothing, not even later', async () => {
    await using world = await createProxyWorld({ config });
    using caller = await world.open();
    caller.send(`${POST}\r\n${world.host}Content-Length: 4\r\n\r\nhi`);
    await untilQuiet();
    deadline.pass();
    const answer = await caller.answer();
    expect([answer.status, answer.json()['mayHaveExecuted']]).toEqual([504, false]);
    caller.send('hi');
    expect((await world.call('GET /api/x HTTP/1.1')).status).toBe(200);
    expect(world.upstream.requests).toHaveLength(1);
  });

  it('cuts an answer that has begun', async () => {
    await using world = await createProxyWorld({
      config,
      answer: () => 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf',
    });
    using caller = await world.open();
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    await until('it has begun', () => caller.received.endsWith('half'));
    await untilQuiet();
    deadline.pass();
    await caller.ended();
    expect(caller.received.endsWith('half')).toBe(true);
  });
});

describe('timeouts.queue', () => {
  it('ends a wait for a free connection with 503; what waited is never sent', async () => {
    let answerFirst: (() => unknown) | undefined;
    using deadline = createDeadline();
    await using world = await createProxyWorld({
      config: { limits: { upstreamConnections: 1 }, timeouts: { queue: `${deadline.ms}ms` } },
      answer({ socket }, index) {
        if (index > 0) return ok('next');
        answerFirst = () => socket.write(ok('first'));
        return undefined;
      },
    });
    const first = world.call('GET /api/first HTTP/1.1');
    await world.upstream.untilRequests(1);
    const waiting = world.call(POST, HI);
    await expect.poll(world.inFlight).toBe(2);
    await untilQuiet();
    deadline.pass();
    const waited = await waiting;
    expect([waited.status, waited.json()['code'], waited.json()['mayHaveExecuted']]).toEqual([
      503,
      'UPSTREAM_BUSY',
      false,
    ]);
    expect(waited.header('retry-after')).toBe('1');
    answerFirst?.();
    expect((await first).body).toBe('first');
    expect((await world.call('GET /api/last HTTP/1.1')).body).toBe('next');
    expect(world.upstream.requests.map(({ startLine }) => startLine)).toEqual([
      'GET /first HTTP/1.1',
      'GET /last HTTP/1.1',
    ]);
  });
});

describe('requests that nobody waits for any more', () => {
  it('are held in a bounded number while no connection is free, and none is ever sent', async () => {
    let answerFirst: (() => unknown) | undefined;
    await using world = await createProxyWorld({
      config: { limits: { upstreamConnections: 1, connections: 10 }, callers: { limits: { inFlight: 4 } } },
      answer({ socket }, index) {
        if (index > 0) return ok('next');
        answerFirst = () => socket.write(ok('first'));
        return undefined;
      },
    });
    const first = world.call('GET /api/first HTTP/1.1');
    await world.upstream.untilRequests(1);
    for (let round = 0; round < 60; round += 1) {
      using caller = await world.open();
      caller.send(`${POST}\r\n${world.host}${HI}`);
      await until('it has begun', async () => (await world.inFlight()) === 2 || caller.received !== '');
      caller[Symbol.dispose]();
      await expect.poll(world.inFlight).toBe(1);
    }
    const status = await (await fetch(`${world.sidecar.adminUrl}/status`)).json();
    expect(status).toMatchObject({ upstreams: [{ queued: 20 }] });
    expect((await world.call(POST, HI)).json()).toMatchObject({ code: 'UPSTREAM_BUSY', mayHaveExecuted: false });
    answerFirst?.();
    expect((await first).body).toBe('first');
    expect((await world.call('GET /api/last HTTP/1.1')).body).toBe('next');
    expect(world.upstream.requests.map(({ target }) => target)).toEqual(['/first', '/last']);
  });
});

describe('interim answers', () => {
  const hints = (count: number) =>
    'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nConnection: x\r\nX: y\r\n\r\n'.repeat(count);

  it('reach the caller without what belongs to one connection, sixteen of them', async () => {
    await using world = await createProxyWorld({ answer: () => hints(16) + ok('fine') });
    using caller = await world.open();
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    const statuses: number[] = [];
    for (let last = 0; last < 200; ) {
      const answer = await caller.answer();
      last = answer.status;
      statuses.push(last);
      if (last === 103) expect([answer.header('link'), answer.header('x')]).toEqual(['</x>', undefined]);
    }
    expect(statuses).toEqual([...Array(16).fill(103), 200]);
  });

  it('do not reach a caller that speaks HTTP/1.0', async () => {
    await using world = await createProxyWorld({ answer: () => hints(2) + ok('fine') });
    const answer = await world.call('GET /api/x HTTP/1.0');
    expect([answer.status, answer.body]).toEqual([200, 'fine']);
  });
});
