// `timeouts.queue`: how long a request waits for one of the connections to its API, and for nothing else.
import { describe, expect, it } from 'vitest';
import { createDeadline } from '../support/deadline.ts';
import { untilQuiet } from '../support/own-time.ts';
import { createProxyWorld } from '../support/proxy-world.ts';
import { ok, startRawUpstream } from '../support/raw.ts';

const POST = ['POST /api/x HTTP/1.1', 'Content-Length: 2\r\n\r\nhi'] as const;
const BUSY = { status: 503, code: 'UPSTREAM_BUSY' };

describe('timeouts.queue', () => {
  it.each(
    ['fresh', 'warm'].flatMap((state) =>
      ['GET', 'POST'].flatMap((method) => [1, 2].map((n) => [state, method, n] as const)),
    ),
  )(
    'is all that a request waits while every connection is in use: %s, %s, %i of them',
    async (state, method, count) => {
      using deadline = createDeadline();
      const limits = { upstreamConnections: count };
      await using world = await createProxyWorld({
        config: { limits, timeouts: { queue: `${deadline.ms}ms`, connect: '5s' } },
        answer: ({ target }) => (target === '/warm' ? ok('warm') : undefined),
      });
      const warm = state === 'warm' ? count : 0;
      await Promise.all(Array.from({ length: warm }, () => world.call('GET /api/warm HTTP/1.1')));
      const [line, rest] = method === 'POST' ? POST : (['GET /api/x HTTP/1.1', '\r\n'] as const);
      const running = Array.from({ length: count }, () => world.call(line, rest).catch(() => undefined));
      await world.upstream.untilRequests(warm + count);
      const waiting = world.call(line, rest);
      await expect.poll(world.inFlight).toBe(count + 1);
      await untilQuiet();
      // Not a millisecond more: connecting has a time of its own.
      deadline.elapse(deadline.ms);
      const { status, json } = await waiting;
      expect({ status, ...json() }).toMatchObject({ ...BUSY, mayHaveExecuted: false });
      expect(world.upstream.requests).toHaveLength(warm + count);
      await world.upstream[Symbol.asyncDispose]();
      await Promise.all(running);
    },
  );

  it('does not end a request that has a connection, while it is being made', async () => {
    const silent = await startRawUpstream(() => undefined);
    using deadline = createDeadline();
    await using world = await createProxyWorld({
      upstream: silent.url.replace('http:', 'https:'),
      config: { limits: { upstreamConnections: 1 }, timeouts: { queue: `${deadline.ms}ms`, connect: '700ms' } },
    });
    const connecting = world.call(...POST);
    await expect.poll(world.inFlight).toBe(1);
    const waiting = world.call(...POST);
    await expect.poll(world.inFlight).toBe(2);
    deadline.pass();
    expect((await waiting).json()).toMatchObject({ code: 'UPSTREAM_BUSY', mayHaveExecuted: false });
    expect((await connecting).json()).toMatchObject({ code: 'UPSTREAM_UNREACHABLE', mayHaveExecuted: false });
    await silent.close();
  });

  it('has room again for as many as before, once those that waited are served', async () => {
    await using world = await createProxyWorld({
      config: { limits: { connections: 20, upstreamConnections: 1 } },
      answer: () => ok('fine'),
    });
    const statuses: number[] = [];
    for (let round = 0; round < 20; round += 1) {
      const calls = Array.from({ length: 4 }, () => world.call('GET /api/x HTTP/1.1'));
      statuses.push(...(await Promise.all(calls)).map(({ status }) => status));
    }
    expect(statuses).toEqual(Array(80).fill(200));
  });
});
