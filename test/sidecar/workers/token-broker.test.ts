// One token engine for several workers: tokens go to all of them, and what many ask for is fetched once.
import { expect, it } from 'vitest';
import { Secret } from '../../../src/core/secret.ts';
import type { TokenResponse } from '../../../src/oauth/token-endpoint.ts';
import { TokenSource } from '../../../src/oauth/token-source.ts';
import type { ToWorker } from '../../../src/sidecar/workers/protocol.ts';
import { createTokenDesk } from '../../../src/sidecar/workers/token-broker.ts';
import { RemoteTokens } from '../../../src/sidecar/workers/token-mirror.ts';
import { createFakeClock } from '../../support/clock.ts';

const KEY = { credential: 'default', scope: 'api', audience: undefined, resource: undefined };

/** Workers whose messages take a turn of the event loop each way. */
function setUp(count: number) {
  const clock = createFakeClock();
  let fetches = 0;
  let land: ((answer: TokenResponse) => void) | undefined;
  const lookups: string[] = [];
  const source = new TokenSource(KEY, {
    fetchToken() {
      fetches += 1;
      return new Promise((resolve) => {
        land = resolve;
      });
    },
    events: { lookup: (result) => void lookups.push(result), obtained: () => desk.sync(), failed: () => undefined },
    ...{ refreshBeforeMs: 300_000, waitMs: 10_000, clock, random: () => 0 },
  });
  const broadcast = (message: ToWorker) => {
    if (message.kind === 'token') for (const worker of workers) setImmediate(() => worker.accept(message.token));
  };
  const desk = createTokenDesk({ broadcast, clock });
  desk.open(1, [source]);
  const later = <T>(value: T) => new Promise<T>((resolve) => void setImmediate(resolve, value));
  const workers = Array.from(
    { length: count },
    () =>
      new RemoteTokens({
        ...{ key: KEY, token: undefined, waitMs: 10_000, clock },
        ask: async (refused) =>
          later(await desk.response(await later({ about: 'token', generation: 1, source: 0, refused } as const))),
        onLookup: (result) => void lookups.push(result),
      }),
  );
  return {
    ...{ clock, source, desk, workers, lookups },
    fetches: () => fetches,
    async answer(value: string, lifetimeS = 600) {
      await clock.advance(0);
      land?.({ kind: 'token', authorization: new Secret(`Bearer ${value}`), lifetimeS, assumedLifetime: false });
      await clock.advance(0);
      await clock.advance(0);
    },
    async fail() {
      await clock.advance(0);
      land?.({ kind: 'unavailable', result: 'server_error' });
      await clock.advance(0);
      await clock.advance(0);
    },
  };
}

it('fetches once for thousands of callers of several workers, and counts each of them once', async () => {
  const world = setUp(4);
  const callers = world.workers.flatMap((worker) => Array.from({ length: 2000 }, () => worker.get()));
  await world.clock.advance(0);
  await world.answer('one');
  for (const token of await Promise.all(callers)) expect(token.authorization.reveal()).toBe('Bearer one');
  expect(world.fetches()).toBe(1);
  expect(world.lookups).toHaveLength(8000);
});

it('renews once when every worker has fifty requests refused', async () => {
  const world = setUp(4);
  await world.answer('one');
  await world.clock.advance(2000);
  const stale = await Promise.all(world.workers.map((worker) => worker.get()));
  const renewed = world.workers.flatMap((worker, index) =>
    Array.from({ length: 50 }, () => worker.renew(stale[index] as (typeof stale)[number])),
  );
  await world.clock.advance(0);
  await world.answer('two');
  for (const token of await Promise.all(renewed)) expect(token?.authorization.reveal()).toBe('Bearer two');
  expect(world.fetches()).toBe(2);
});

it('tells all workers at once of a token that is not to be used any more, and of its successor', async () => {
  const world = setUp(2);
  await world.answer('one');
  void world.source.refresh();
  world.desk.sync();
  await world.clock.advance(0);
  const waiting = world.workers.map((worker) => worker.get());
  expect(waiting.every((token) => token instanceof Promise)).toBe(true);
  await world.answer('two');
  const got = await Promise.all(waiting);
  expect(got.map(({ authorization }) => authorization.reveal())).toEqual(['Bearer two', 'Bearer two']);
  expect(world.fetches()).toBe(2);
});

it('answers with the failure and its time to wait, at once while the engine backs off', async () => {
  const world = setUp(2);
  const first = world.workers.map((worker) => Promise.resolve(worker.get()).catch((error: unknown) => error));
  await world.clock.advance(0);
  await world.fail();
  for (const error of await Promise.all(first)) expect(error).toMatchObject({ code: 'TOKEN_UNAVAILABLE' });
  const second = Promise.resolve(world.workers[0]?.get()).catch((error: unknown) => error);
  await world.clock.advance(0);
  await world.clock.advance(0);
  expect(await second).toMatchObject({ code: 'TOKEN_UNAVAILABLE', extras: { retryAfterS: expect.any(Number) } });
  expect(world.fetches()).toBe(1);
  expect(world.lookups).toEqual(['join', 'join', 'miss']);
});

it('refuses questions about a configuration that is gone', async () => {
  const world = setUp(1);
  world.desk.forget(1);
  const question = { about: 'token', generation: 1, source: 0, refused: undefined } as const;
  expect(await world.desk.response(question)).toMatchObject({ ok: false, error: { code: 'SIDECAR_INTERNAL' } });
});
