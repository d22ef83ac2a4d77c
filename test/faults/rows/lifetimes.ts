/** Rows T10 to T12, T22 to T24 and T26: how long tokens live, by what servers say and by what clocks show. */
import type { Socket } from 'node:net';
import {
  bothHalves,
  type FaultRow,
  HAMMERS,
  MISUSE,
  MORE_THAN_ONE,
  NOT_503,
  NOT_BACK,
  NOT_KEPT,
  REFRESH_DUE_MS,
  type Stage,
} from '../../support/fault-row.ts';
import { body } from '../../support/fault-server.ts';
import { whileTimePasses } from '../../support/fault-world.ts';

const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;

/** A token that lives as long as that, whatever its answer says, is used, and is not used longer. */
function lived(id: string, name: string, lifetimeS: number, fields: Readonly<Record<string, unknown>>): FaultRow {
  return {
    id,
    name,
    control: { fails: MISUSE },
    async play(stage) {
      const world = await stage.open({ lifetimeS, fields });
      await world.settled('obtained', 1);
      stage.check(NOT_KEPT, (await world.ask()).status === 200);
      await world.clock.advance(lifetimeS * 400);
      stage.check(NOT_KEPT, (await world.ask()).status === 200);
      stage.check(MORE_THAN_ONE, world.identity.requests.length === 1);
      world.clock.sleep(lifetimeS * 600 + 1);
      stage.check(NOT_BACK, (await world.ask()).status === 200);
    },
  };
}

function unusable(value: unknown): FaultRow {
  const answer = { access_token: 'canary-token', token_type: 'Bearer', expires_in: value };
  return {
    id: 'T11',
    name: `expires_in ${JSON.stringify(value)}: the kept token goes on serving, and without one callers get 503`,
    control: { fails: typeof value === 'number' ? HAMMERS : NOT_503 },
    play: (stage) => bothHalves(stage, body(answer)),
  };
}

/** Asks ten times a lifetime for a while, and notes when the endpoint was asked. */
async function shortLived(stage: Stage, lifetimeS: number): Promise<void> {
  const world = await stage.open({ lifetimeS });
  await world.settled('obtained', 1);
  const askedAt: number[] = [];
  world.identity.behave((socket, count) => {
    askedAt.push(world.clock.now().monotonicMs);
    world.grant(lifetimeS)(socket, count);
  });
  const lives = 4;
  while (askedAt.length < lives) {
    await world.clock.advance(lifetimeS * 100);
    stage.check(NOT_KEPT, (await whileTimePasses(world, world.ask())).status === 200);
  }
  const gaps = askedAt.slice(1).map((at, index) => at - (askedAt[index] ?? 0));
  stage.check('token requests come closer than a second', Math.min(...gaps) >= 1000);
}

async function jumped(stage: Stage, jumpMs: number): Promise<void> {
  const world = await stage.open();
  await world.settled('obtained', 1);
  stage.check(NOT_KEPT, (await world.ask()).status === 200);
  world.clock.jumpWall(jumpMs);
  for (const { status } of await world.askMany(10)) stage.check(NOT_BACK, status === 200);
  await world.clock.advance(60_000);
  stage.check(NOT_BACK, (await world.ask()).status === 200);
  stage.check(MORE_THAN_ONE, world.identity.requests.length === 2);
}

async function setBack(stage: Stage, jumpMs: number): Promise<void> {
  const world = await stage.open();
  await world.settled('obtained', 1);
  stage.check(NOT_KEPT, (await world.ask()).status === 200);
  world.clock.jumpWall(-jumpMs);
  stage.check(NOT_KEPT, (await world.ask()).status === 200);
  await world.identity.refuse();
  await world.clock.advance(HOUR_MS + 1);
  stage.check(NOT_503, (await whileTimePasses(world, world.ask())).status === 503);
}

function jwt(claims: Readonly<Record<string, unknown>>): string {
  const encode = (part: unknown) => Buffer.from(JSON.stringify(part)).toString('base64url');
  return `${encode({ alg: 'ES256', typ: 'at+jwt' })}.${encode(claims)}.c2lnbmF0dXJl`;
}

const NOT_WARNED_ONCE = 'the missing lifetime is not warned of exactly once';

export const LIFETIME_ROWS: readonly FaultRow[] = [
  lived('T10', 'no expires_in: the token is used for five minutes, not longer', 300, { expires_in: undefined }),
  {
    id: 'T10',
    name: 'no expires_in, refresh after refresh: the log warns of it once',
    control: { leftOut: 'it warns of nothing' },
    async play(stage) {
      const world = await stage.open({ lifetimeS: 300, fields: { expires_in: undefined } });
      for (let obtained = 1; obtained <= 4; obtained += 1) {
        await world.settled('obtained', obtained);
        // Past the refresh, but not so far that the next token is old when it arrives.
        await world.clock.advance(220_000);
      }
      const warnings = world.sidecar?.logs.filter(({ message }) => /no token lifetime/.test(String(message))) ?? [];
      stage.check(NOT_WARNED_ONCE, warnings.length === 1);
    },
  },
  lived('T10', 'a JWT that ends before its expires_in: the earlier of the two counts', 60, {
    access_token: jwt({ iat: 1_700_000_000, exp: 1_700_000_060 }),
    expires_in: 3600,
  }),
  lived('T10', 'a JWT without expires_in: its own lifetime counts', 60, {
    access_token: jwt({ iat: 1_700_000_000, exp: 1_700_000_060 }),
    expires_in: undefined,
  }),
  lived('T11', 'expires_in 1e99: the token is used for a day, not longer', 86_400, { expires_in: 1e99 }),
  ...['3600', 3600.5].map(
    (value): FaultRow => ({
      id: 'T11',
      name: `expires_in ${JSON.stringify(value)}: it counts as an hour`,
      control: 'passes',
      async play(stage) {
        const world = await stage.open({ fields: { expires_in: value } });
        await world.settled('obtained', 1);
        stage.check(NOT_KEPT, (await world.ask()).status === 200);
        world.clock.sleep(HOUR_MS + 501);
        stage.check(NOT_BACK, (await world.ask()).status === 200);
        stage.check(MORE_THAN_ONE, world.identity.requests.length === 2);
      },
    }),
  ),
  ...['abc', -1, 0, 0.9, null, '', '-5', {}, [3600], true].map(unusable),
  {
    id: 'T12',
    name: 'expires_in 5: callers are served without a gap, and the endpoint is asked once in a token’s life',
    control: 'passes',
    play: (stage) => shortLived(stage, 5),
  },
  {
    id: 'T12',
    name: 'expires_in 1: callers are served, and the endpoint is asked once a second at most',
    control: { leftOut: 'whether a token of one second outlives the way to the API is chance' },
    play: (stage) => shortLived(stage, 1),
  },
  ...[HOUR_MS, 10 * YEAR_MS].map(
    (jumpMs): FaultRow => ({
      id: 'T22',
      name: `a wall clock set ${jumpMs / HOUR_MS} hours ahead: one token request, and callers are served`,
      control: { leftOut: 'whether its callers overlap, and so how often it asks, is chance' },
      play: (stage) => jumped(stage, jumpMs),
    }),
  ),
  ...[HOUR_MS, 10 * YEAR_MS].map(
    (jumpMs): FaultRow => ({
      id: 'T22',
      name: `a wall clock set ${jumpMs / HOUR_MS} hours back: the token is not used a moment longer`,
      control: { fails: MISUSE },
      play: (stage) => setBack(stage, jumpMs),
    }),
  ),
  {
    id: 'T23',
    name: 'a machine that slept past the token’s life: the first request afterwards gets a new one',
    control: 'passes',
    async play(stage) {
      const world = await stage.open();
      await world.settled('obtained', 1);
      stage.check(NOT_KEPT, (await world.ask()).status === 200);
      world.clock.sleep(2 * HOUR_MS);
      stage.check(NOT_BACK, (await world.ask()).status === 200);
      stage.check(MORE_THAN_ONE, world.identity.requests.length === 2);
    },
  },
  {
    id: 'T23',
    name: 'a machine that slept while a token was on its way: the token, expired by then, is not used',
    control: { fails: MISUSE },
    async play(stage) {
      const held: Socket[] = [];
      const world = await stage.open({ fault: (socket) => void held.push(socket) });
      const asked = world.ask();
      while (held.length === 0) await new Promise((resolve) => setImmediate(resolve));
      // On its way while the machine falls asleep.
      for (const socket of held) world.grant()(socket, 1);
      world.identity.behave(world.grant());
      world.clock.sleep(2 * HOUR_MS);
      await asked;
    },
  },
  {
    id: 'T24',
    name: 'expires_in of thirty days: no timer is too long for Node, and twelve hours cost one token request',
    control: 'passes',
    async play(stage) {
      const world = await stage.open({ lifetimeS: 30 * 86_400 });
      for (let hour = 0; hour < 11; hour += 1) {
        stage.check(NOT_KEPT, (await world.ask()).status === 200);
        await world.clock.advance(HOUR_MS);
      }
      stage.check(MORE_THAN_ONE, world.identity.requests.length === 1);
    },
  },
  {
    id: 'T26',
    name: 'a server that gives the same token again: it is refreshed once in its life, not in a loop',
    control: 'passes',
    async play(stage) {
      const world = await stage.open({ fields: { access_token: 'tok-same' } });
      await world.settled('obtained', 1);
      stage.check(NOT_KEPT, (await world.ask()).status === 200);
      world.identity.behave(world.grant(3600, { access_token: 'tok-same' }));
      await world.clock.advance(REFRESH_DUE_MS);
      await world.settled('obtained', 2);
      stage.check(NOT_KEPT, (await world.ask()).status === 200);
      await world.clock.advance(HOUR_MS / 4);
      stage.check(NOT_KEPT, (await world.ask()).status === 200);
      stage.check(MORE_THAN_ONE, world.identity.requests.length === 2);
    },
  },
];
