/** Time limits of single routes, where two routes share the connections to one API. */
import { describe, expect, it } from 'vitest';
import { createDeadline } from '../support/deadline.ts';
import { untilQuiet } from '../support/own-time.ts';
import { createProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';
import { until } from '../support/until.ts';
import { createUpgradeWorld, OFFER, startHandshakeUpstream } from '../support/upgrade-world.ts';

const SHORT_MS = 300;
const SHORT = `${SHORT_MS}ms`;

/** `/api` has these limits; `/calm` has those of all routes, an hour. The API responds when it is told to. */
async function sharedWorld(timeouts: object, early = '') {
  const waiting: (() => void)[] = [];
  const apiWorld = await createProxyWorld({
    answer({ socket }) {
      waiting.push(() => socket.write(early === '' ? ok('late') : 'late'));
      return early || undefined;
    },
  });
  const upstream = apiWorld.upstream.url;
  const world = await createProxyWorld({
    config: {
      timeouts: { firstByte: '1h', idle: '1h', total: '1h' },
      routes: [
        { path: '/api', upstream, timeouts },
        { path: '/calm', upstream },
      ],
    },
  });
  return {
    world,
    api: apiWorld.upstream,
    respond: () => waiting.at(-1)?.(),
    async [Symbol.asyncDispose]() {
      await apiWorld[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    },
  };
}

describe('routes[].timeouts.firstByte', () => {
  it('ends only calls of its route, and the response names the option to raise', async () => {
    await using shared = await sharedWorld({ firstByte: SHORT });
    const { world, api } = shared;
    const calm = world.call('GET /calm/x HTTP/1.1');
    await api.untilRequests(1);
    const late = await world.call('GET /api/x HTTP/1.1');
    expect([late.status, late.json()['code'], late.json()['cause']]).toEqual([
      504,
      'UPSTREAM_TIMEOUT',
      'answer_timeout',
    ]);
    expect(late.json()['detail']).toContain('does not respond within 0.3 s');
    expect(late.json()['detail']).toContain('raise timeouts.firstByte of route /api.');
    // The one that has waited longer is still there, on the same pool.
    api.requests[0]?.socket.write(ok('late'));
    expect((await calm).body).toBe('late');
    const status = await (await fetch(`${world.sidecar.adminUrl}/status`)).json();
    expect(status).toMatchObject({ upstreams: [{ origin: api.url }] });
  });

  it('is longer than that of all routes where it is set so', async () => {
    await using apiWorld = await createProxyWorld({ answer: () => undefined });
    const upstream = apiWorld.upstream.url;
    const routes = [
      { path: '/api', upstream, timeouts: { firstByte: '1h' } },
      { path: '/hasty', upstream },
    ];
    await using world = await createProxyWorld({ config: { timeouts: { firstByte: SHORT }, routes } });
    const slow = world.call('GET /api/x HTTP/1.1');
    await apiWorld.upstream.untilRequests(1);
    const hasty = await world.call('GET /hasty/x HTTP/1.1');
    expect(hasty.status).toBe(504);
    expect(hasty.json()['detail']).toContain('raise timeouts.firstByte. ');
    apiWorld.upstream.requests[0]?.socket.write(ok('late'));
    expect((await slow).body).toBe('late');
  });

  it('holds for the final response also after interim ones', async () => {
    await using shared = await sharedWorld({ firstByte: SHORT }, 'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n');
    using caller = await shared.world.open();
    caller.send(`GET /api/x HTTP/1.1\r\n${shared.world.host}\r\n`);
    expect((await caller.answer()).status).toBe(103);
    const late = await caller.answer();
    expect([late.status, late.json()['detail']]).toEqual([504, expect.stringContaining('timeouts.firstByte of route')]);
  });

  it('holds for a WebSocket handshake, and its message names the option, too', async () => {
    const api = await startHandshakeUpstream(() => undefined);
    const routes = [{ path: '/api', upstream: api.url, upgrade: true, timeouts: { firstByte: SHORT } }];
    await using world = await createUpgradeWorld(api.url, { config: { routes, timeouts: { firstByte: '1h' } } });
    const late = await world.call('GET /api/ws HTTP/1.1', `${OFFER}\r\n`);
    expect([late.status, late.json()['mayHaveExecuted']]).toEqual([504, true]);
    expect(late.json()['detail']).toContain('raise timeouts.firstByte of route /api');
  });
});

describe('routes[].timeouts.idle', () => {
  const BEGUN = 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf';

  it('cuts a response that pauses, only on its route, and the log names the option to raise', async () => {
    await using shared = await sharedWorld({ idle: SHORT }, BEGUN);
    const { world, api } = shared;
    using calm = await world.open();
    calm.send(`GET /calm/x HTTP/1.1\r\n${world.host}\r\n`);
    await until('it has begun', () => calm.received.endsWith('half'));
    using caller = await world.open();
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    await caller.ended();
    expect(caller.received.endsWith('half')).toBe(true);
    const line = () => world.sidecar.logs.find(({ message, route }) => message === 'request' && route === '/api');
    await until('it is logged', () => line() !== undefined);
    expect(line()).toMatchObject({
      code: 'UPSTREAM_TIMEOUT',
      reason: expect.stringContaining('sends nothing for 0.3 s'),
    });
    expect(line()?.['fix']).toMatch(/raise timeouts\.idle of route \/api$/);
    api.requests[0]?.socket.write('x'.repeat(96));
    expect((await calm.answer()).body).toHaveLength(100);
  });

  it('refuses a caller of its route that pauses inside its body', async () => {
    using deadline = createDeadline();
    await using shared = await sharedWorld({ idle: `${deadline.ms}ms` });
    const send = async (path: string) => {
      const caller = await shared.world.open();
      caller.send(`POST ${path} HTTP/1.1\r\n${shared.world.host}Content-Length: 4\r\n\r\nhi`);
      return caller;
    };
    using calm = await send('/calm/x');
    using caller = await send('/api/x');
    await untilQuiet();
    deadline.pass();
    expect((await caller.answer()).status).toBe(408);
    calm.send('ho');
    await shared.api.untilRequests(1);
    shared.respond();
    expect((await calm.answer()).body).toBe('late');
  });
});

describe('routes[].timeouts.total', () => {
  it('ends a call of its route, and the response names the option to raise', async () => {
    using deadline = createDeadline();
    await using shared = await sharedWorld({ total: `${deadline.ms}ms` });
    const { world, api } = shared;
    const late = world.call('GET /api/x HTTP/1.1');
    await api.untilRequests(1);
    const calm = world.call('GET /calm/x HTTP/1.1');
    await api.untilRequests(2);
    await untilQuiet();
    deadline.pass();
    expect([(await late).status, (await late).json()['detail']]).toEqual([
      504,
      expect.stringMatching(/is not finished within .*raise timeouts\.total of route \/api/),
    ]);
    api.requests[1]?.socket.write(ok('late'));
    expect((await calm).body).toBe('late');
  });

  it('ends a wait for the caller’s body before anything is sent', async () => {
    using deadline = createDeadline();
    await using shared = await sharedWorld({ total: `${deadline.ms}ms` });
    using caller = await shared.world.open();
    caller.send(`POST /api/x HTTP/1.1\r\n${shared.world.host}Content-Length: 4\r\n\r\nhi`);
    await untilQuiet();
    deadline.pass();
    const late = await caller.answer();
    expect([late.status, late.json()['mayHaveExecuted']]).toEqual([504, false]);
    expect(late.json()['detail']).toContain('timeouts.total of route /api');
    expect(shared.api.requests).toEqual([]);
  });
});
