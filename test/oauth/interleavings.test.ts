/** Whatever happens in whatever order: callers, answers, clocks, reloads and operators against the token engine. */
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { TokenKey } from '../../src/oauth/token.ts';
import { createTokenCache } from '../../src/oauth/token-cache.ts';
import type { TokenSource } from '../../src/oauth/token-source.ts';
import {
  createNaiveTokens,
  type Flaw,
  type TokenClient,
  type TokenClientOptions,
} from '../support/naive-token-source.ts';
import { type Engine, type Reply, TokenWorld } from '../support/token-world.ts';

const KEYS: readonly TokenKey[] = ['a', 'b'].flatMap((credential) =>
  ['accounts', 'payments'].map((scope) => ({ credential, scope, audience: undefined, resource: undefined })),
);
const DAY_MS = 86_400_000;

/** The real engine, seeded with the previous one's tokens as a reload does it. */
function realEngine({ previous, inherits, ...rest }: TokenClientOptions): TokenClient {
  const cache = createTokenCache({
    ...rest,
    eventsFor: () => ({ lookup: () => undefined, obtained: () => undefined, failed: () => undefined }),
    seedFor: (key) => (inherits(key) ? previous?.kept(key) : undefined),
    refreshBeforeMs: 300_000,
  });
  // As routes do: every source is opened with the configuration and used for as long as a request keeps it.
  const sources = new Map(KEYS.map((key) => [named(key), cache.open(key)]));
  const of = (key: TokenKey): TokenSource => sources.get(named(key)) ?? cache.open(key);
  return {
    get: (key) => of(key).get(),
    renew: (key, stale) => of(key).renew(stale),
    refresh: (key) => of(key).refresh(),
    kept: (key) => of(key).token,
    close: () => cache.close(),
  };
}

function named({ credential, scope }: TokenKey): string {
  return `${credential}/${scope}`;
}

type Step = fc.AsyncCommand<object, TokenWorld>;

/** One thing that happens; afterwards nothing forbidden may have happened. */
function step(name: string, act: (world: TokenWorld) => unknown): Step {
  return {
    check: () => true,
    async run(_model, world) {
      await act(world);
      await world.settle();
      forbidden(world);
    },
    toString: () => name,
  };
}

/** A test judges what it looks for; the spacing of requests is a property of its own. */
function forbidden(world: TokenWorld, also: RegExp = /^$/): void {
  const seen = world.violations.filter((violation) => !violation.startsWith('hurried') || also.test(violation));
  if (seen.length > 0) throw new Error(seen[0]);
}

const key = fc.constantFrom(...KEYS);
const lifetime = (min: number) =>
  fc.oneof(fc.integer({ min, max: 10 }), fc.integer({ min: 30, max: 7200 }), fc.constant(86_400));
const failure: fc.Arbitrary<Reply> = fc.oneof(
  fc.option(fc.integer({ min: 1, max: 300 }), { nil: undefined }).map((retryAfterS) => ({
    kind: 'unavailable' as const,
    result: 'http_5xx',
    retryAfterS,
  })),
  fc.constant({ kind: 'rejected' as const, result: 'invalid_client' }),
  fc.constant({ kind: 'malformed' as const, result: 'not_json' }),
);
const duration = fc.oneof(
  fc.integer({ min: 1, max: 1500 }),
  fc.integer({ min: 1000, max: 20_000 }),
  fc.integer({ min: 10_000, max: 4_000_000 }),
);
const jump = fc.oneof(fc.integer({ min: -DAY_MS, max: DAY_MS }), fc.constantFrom(3650 * DAY_MS, -3650 * DAY_MS));

const ask = key.map((of) => step(`ask(${named(of)})`, (world) => world.ask(of)));
const askLast = key.map((of) => step(`askLast(${named(of)})`, (world) => world.ask(of, 'last')));
const refuse = key.map((of) => step(`refuse(${named(of)})`, (world) => world.refuse(of)));
const refresh = key.map((of) => step(`refresh(${named(of)})`, (world) => world.refresh(of)));
function answer(minLifetimeS: number): fc.Arbitrary<Step> {
  const granted = lifetime(minLifetimeS).map((lifetimeS) => ({ kind: 'token' as const, lifetimeS }));
  const reply = fc.oneof<fc.Arbitrary<Reply>[]>(granted, granted, failure);
  return fc
    .tuple(fc.nat(7), reply)
    .map(([index, what]) => step(`answer(${index}, ${JSON.stringify(what)})`, (world) => world.answer(index, what)));
}
const advance = duration.map((ms) => step(`advance(${ms})`, (world) => world.clock.advance(ms)));
const jumpWall = jump.map((ms) => step(`jumpWall(${ms})`, (world) => world.clock.jumpWall(ms)));
const wallStandsStill = duration.map((ms) =>
  step(`advanceMonotonic(${ms})`, async (world) => {
    await world.clock.advance(ms);
    world.clock.jumpWall(-ms);
  }),
);
const reload = fc
  .tuple(fc.constantFrom('a' as const, 'b' as const), fc.constantFrom('secret' as const, 'client' as const))
  .map(([credential, what]) => step(`reload(${credential}, ${what})`, (world) => world.reload(credential, what)));

/** Time passes, but nobody sets a clock. */
function stepsWithoutClocks(minLifetimeS: number): fc.Arbitrary<Step>[] {
  const answers = answer(minLifetimeS);
  return [ask, ask, ask, answers, answers, answers, advance, advance, refuse, refresh, reload, askLast];
}
const EVERYTHING = [...stepsWithoutClocks(1), jumpWall, wallStandsStill];

function histories(engine: Engine, steps: fc.Arbitrary<Step>[] = EVERYTHING, also?: RegExp) {
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  return fc.asyncProperty(fc.commands(steps, { maxCommands: 60, size: 'max' }), random, async (commands, luck) => {
    const world = new TokenWorld(engine, luck);
    await fc.asyncModelRun(() => ({ model: {}, real: world }), commands);
    await world.finish();
    forbidden(world, also);
  });
}

describe('the token engine under any interleaving', () => {
  it('flies once a key, gives no expired or foreign token, withholds no good one, settles every caller', async () => {
    const unhandled: unknown[] = [];
    const listen = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', listen);
    onTestFinished(() => void process.off('unhandledRejection', listen));
    await fc.assert(histories(realEngine), { numRuns: 500 });
    expect(unhandled).toEqual([]);
  });

  it('leaves no timer behind when the last caller that waited for a replaced configuration gives up', async () => {
    const world = new TokenWorld(realEngine, 0);
    const [, , , key] = KEYS as [TokenKey, TokenKey, TokenKey, TokenKey];
    await world.settle();
    await world.answer(3, { kind: 'token', lifetimeS: 30 });
    // Expired for a moment: the caller waits for a request, which fails when the token is good again.
    world.clock.jumpWall(10 * DAY_MS);
    world.ask(key);
    world.clock.jumpWall(-10 * DAY_MS);
    await world.answer(3, { kind: 'malformed', result: 'not_json' });
    world.reload('a', 'secret');
    await world.finish();
    forbidden(world);
  });

  it('leaves a second between two requests for one key unless an operator asks', async () => {
    await fc.assert(histories(realEngine, stepsWithoutClocks(2), /^hurried/), { numRuns: 300 });
  });

  // A token that states a life of one second is asked for again after half a second, because it is not used for longer.
  it('leaves that second for a token that lives for one second, too', async () => {
    await fc.assert(histories(realEngine, stepsWithoutClocks(1), /^hurried/), { numRuns: 300 });
  });
});

describe('the same properties against an engine with one flaw', () => {
  const check = (flaw: Flaw) =>
    fc.check(
      histories((options) => createNaiveTokens(flaw, options)),
      { numRuns: 500 },
    );

  it('find nothing where there is none', async () => {
    await fc.assert(
      histories((options) => createNaiveTokens('none', options)),
      { numRuns: 300 },
    );
  });

  it.each([
    ['flight', 'every caller fetches', /^two flights/],
    ['clock', 'only the wall clock counts', /^expired/],
    ['key', 'tokens are kept by client only', /^(foreign|two flights)/],
    ['reload', 'tokens outlive their client', /^foreign/],
    ['deadline', 'callers wait as long as the server takes', /^unsettled/],
    ['outage', 'a good token is dropped early', /^withheld/],
  ] as const)('find %s: %s', async (flaw, _what, message) => {
    const { failed, errorInstance } = await check(flaw);
    expect(failed).toBe(true);
    expect((errorInstance as Error).message).toMatch(message);
  });
});
