// A request gets its token before it has a connection: what the API sees when the token ends meanwhile.
import { describe, expect, it } from 'vitest';
import { type Clock, systemClock } from '../../src/core/clock.ts';
import { createProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';
import { until } from '../support/until.ts';
import type { SeenRequest } from '../support/upstream.ts';

/** A world with one connection to the API, which the first call holds until `pass` has let an hour pass. */
async function createWorld() {
  const held = Promise.withResolvers<SeenRequest>();
  let movedMs = 0;
  const now: Clock['now'] = () => {
    const { wallMs, monotonicMs } = systemClock.now();
    return { wallMs: wallMs + movedMs, monotonicMs };
  };
  const world = await createProxyWorld({
    clock: { ...systemClock, now },
    config: { limits: { upstreamConnections: 1 } },
    answer(request, index) {
      if (index > 0) return ok('fine');
      held.resolve(request);
      return undefined;
    },
  });
  const first = fetch(`${world.sidecar.url}/api/first`);
  const { socket } = await held.promise;
  return {
    ...world,
    async pass() {
      await until('the other call waits', async () => (await world.inFlight()) === 2);
      movedMs = 3_600_000;
      socket.write(ok('late'));
      await first;
    },
    tokens: () => world.upstream.requests.map(({ fields }) => fields.find(([name]) => name === 'Authorization')?.[1]),
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  };
}

describe('a call that waits for its connection until its token has ended', () => {
  it('is sent once, with the next token', async () => {
    await using world = await createWorld();
    const paid = fetch(`${world.sidecar.url}/api/pay`, { method: 'POST', body: 'a payment' });
    await world.pass();
    expect((await paid).status).toBe(200);
    expect(world.tokens()).toEqual(['Bearer token-1', 'Bearer token-2']);
    expect(world.upstream.requests[1]?.body).toBe('a payment');
  });

  it('is not sent when its body is too large to be kept, and its caller learns that it was not executed', async () => {
    await using world = await createWorld();
    const paid = fetch(`${world.sidecar.url}/api/pay`, { method: 'POST', body: 'x'.repeat(200_000) });
    await world.pass();
    const response = await paid;
    expect([response.status, response.headers.get('x-sidecar-error')]).toEqual([503, 'TOKEN_UNAVAILABLE']);
    expect(await response.json()).toMatchObject({ mayHaveExecuted: false });
    expect(world.tokens()).toEqual(['Bearer token-1']);
  });
});
