/** A crowd that waits for one token: one request, everybody served, nothing kept of them afterwards. */
import { Agent, get } from 'node:http';
import { expect, it, onTestFinished, vi } from 'vitest';
import type { SidecarError } from '../../src/core/errors.ts';
import { Secret } from '../../src/core/secret.ts';
import type { TokenResponse } from '../../src/oauth/token-response.ts';
import { TokenSource } from '../../src/oauth/token-source.ts';
import { createFakeClock } from '../support/clock.ts';
import { collectAllGarbage } from '../support/garbage.ts';
import { valuesOf } from '../support/messages.ts';
import { PATIENCE_MS } from '../support/own-time.ts';
import { ok } from '../support/raw.ts';
import { startTestSidecar, type TestSidecar } from '../support/sidecar.ts';
import { grant, startTokenServer } from '../support/token-server.ts';
import { startUpstream } from '../support/upstream.ts';

const KEY = { credential: 'default', scope: 'api', audience: undefined, resource: undefined };
const CROWD = 10_000;
const MAX_GROWTH_BYTES = 1024 * 1024;
/** The clock of these tests fires timers one by one, and each of those who give up has one. */
const IMPATIENT = 2000;

/** What lives on after everything that can be collected was. */
async function heapInUse(): Promise<number> {
  await collectAllGarbage();
  return process.memoryUsage().heapUsed;
}

function setUp() {
  const clock = createFakeClock();
  const flights: ((answer: TokenResponse) => void)[] = [];
  let fetches = 0;
  const source = new TokenSource(KEY, {
    fetchToken() {
      fetches += 1;
      return new Promise((resolve) => flights.push(resolve));
    },
    events: { lookup: () => undefined, obtained: () => undefined, failed: () => undefined },
    refreshBeforeMs: 300_000,
    waitMs: 10_000,
    clock,
    random: () => 0,
  });
  const answer = async (value: TokenResponse) => {
    for (const land of flights.splice(0)) land(value);
    await clock.advance(0);
  };
  return { clock, source, answer, fetches: () => fetches };
}

type World = ReturnType<typeof setUp>;

const granted = (value: string): TokenResponse => ({
  kind: 'token',
  authorization: new Secret(`Bearer ${value}`),
  lifetimeS: 60,
  assumedLifetime: false,
});

/** Everybody asks at once; resolves with how often each outcome came about. */
async function crowd({ source }: World, size = CROWD): Promise<Record<string, number>> {
  const outcomes = Array.from({ length: size }, () =>
    Promise.resolve(source.get()).then(
      ({ authorization }) => authorization.reveal(),
      (error: SidecarError) => error.code,
    ),
  );
  const counts: Record<string, number> = {};
  for (const outcome of await Promise.all(outcomes)) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return counts;
}

/** Everybody waits for one flight, which brings a token; then that token's life passes. */
async function served(world: World, name: string): Promise<void> {
  const before = world.fetches();
  const waiting = crowd(world);
  await world.answer(granted(name));
  expect(await waiting).toEqual({ [`Bearer ${name}`]: CROWD });
  expect(world.fetches() - before).toBeLessThanOrEqual(1);
  await world.clock.advance(60_000);
}

/** Everybody gives up at the own deadline while the server is still thinking. */
async function disappointed(world: World): Promise<void> {
  const before = world.fetches();
  const waiting = crowd(world, IMPATIENT);
  await world.clock.advance(10_000);
  expect(await waiting).toEqual({ TOKEN_UNAVAILABLE: IMPATIENT });
  expect(world.fetches() - before).toBeLessThanOrEqual(1);
}

/** The flight fails for all: the next one is later than any of them waits. */
async function refused(world: World): Promise<void> {
  const waiting = crowd(world);
  await world.answer({ kind: 'unavailable', result: 'http_5xx', retryAfterS: 60 });
  expect(await waiting).toEqual({ TOKEN_UNAVAILABLE: CROWD });
  await world.clock.advance(60_000);
}

/** What every round leaves behind, in bytes: the least of several, because V8 compiles code in some of them. */
async function growth(world: World, round: (world: World) => Promise<void>, times = 1): Promise<number> {
  await round(world);
  const grown: number[] = [];
  for (let before = await heapInUse(); grown.length < times; ) {
    await round(world);
    const after = await heapInUse();
    grown.push(after - before);
    before = after;
  }
  return Math.min(...grown);
}

it('keeps nothing of 10,000 waiters once one request has served them all', async () => {
  const world = setUp();
  let round = 0;
  const grown = await growth(world, () => served(world, `round-${++round}`));
  expect(grown).toBeLessThan(MAX_GROWTH_BYTES);
  expect(world.clock.timers).toBe(0);
});

it('keeps nothing of 10,000 waiters once the request has failed for them all', async () => {
  const world = setUp();
  expect(await growth(world, refused)).toBeLessThan(MAX_GROWTH_BYTES);
});

it('keeps nothing of 2,000 waiters that gave up, once their request has ended', async () => {
  const world = setUp();
  const giveUp = async () => {
    await disappointed(world);
    await world.answer({ kind: 'unavailable', result: 'timeout' });
    await world.clock.advance(60_000);
  };
  const grown = await growth(world, giveUp, 3);
  expect(grown).toBeLessThan((MAX_GROWTH_BYTES / CROWD) * IMPATIENT);
});

it('would notice: 10,000 who still wait are more than the bound', async () => {
  const world = setUp();
  await served(world, 'warm-up');
  const before = await heapInUse();
  const waiting = crowd(world);
  expect((await heapInUse()) - before).toBeGreaterThan(MAX_GROWTH_BYTES);
  await world.answer(granted('late'));
  expect(await waiting).toEqual({ 'Bearer late': CROWD });
});

/** One request on a connection of its own; resolves with its status, or with how it failed. */
function call(url: string, agent: Agent): Promise<number | string> {
  return new Promise((resolve) => {
    get(`${url}/api/accounts`, { agent }, (res) => {
      res.resume().on('end', () => resolve(res.statusCode ?? 0));
    }).on('error', (error) => resolve(error.message));
  });
}

async function inFlight({ adminUrl }: TestSidecar): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text();
  return Number(/^aritma_sidecar_requests_in_flight (\d+)$/m.exec(text)?.[1]);
}

it('serves 2,000 callers that arrive while the first token is on its way, with one token request', async () => {
  const upstream = await startUpstream(() => ok('fine'));
  const tokens = await startTokenServer();
  const { promise: everybodyIsThere, resolve: release } = Promise.withResolvers<void>();
  tokens.answerWith((res, ...rest) => void everybodyIsThere.then(() => grant('shared')(res, ...rest)));
  const config = { token: { attemptTimeout: '10m', waitTimeout: '10m' }, limits: { connections: 3000 } };
  const sidecar = await startTestSidecar({ upstream: upstream.url, tokenEndpoint: tokens.url, config });
  const agent = new Agent({ keepAlive: false });
  onTestFinished(async () => {
    agent.destroy();
    await sidecar.stop();
    await tokens.close();
    await upstream[Symbol.asyncDispose]();
  });
  const callers = Array.from({ length: 2000 }, () => call(sidecar.url, agent));
  await vi.waitFor(async () => expect(await inFlight(sidecar)).toBe(2000), { timeout: PATIENCE_MS, interval: 50 });
  release();
  const statuses = await Promise.all(callers);
  expect(statuses.filter((status) => status !== 200)).toEqual([]);
  expect(tokens.calls).toHaveLength(1);
  expect(upstream.requests).toHaveLength(2000);
  const authorizations = upstream.requests.flatMap((request) => valuesOf(request, 'authorization'));
  expect(new Set(authorizations)).toEqual(new Set(['Bearer shared']));
});

it('tells who gave up between two tries what the last one met', async () => {
  const { clock, source, answer } = setUp();
  const failure = { cause: 'tls_unknown_ca', host: 'id.test:443', message: 'is not trusted', fix: 'set tls.ca' };
  const waiting = Promise.resolve(source.get()).catch((error: SidecarError) => error.extras);
  await answer({ kind: 'unavailable', result: 'tls', failure });
  // The next try is under way and never ends.
  await clock.advance(10_000);
  expect(await waiting).toMatchObject({ failure, fields: { result: 'wait_timeout' } });
});
