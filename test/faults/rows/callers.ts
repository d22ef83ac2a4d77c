/** Rows T19 to T21, T27 and T29: many callers, callers that leave, and an API that does not like the token. */
import {
  type FaultRow,
  HAMMERS,
  MISUSE,
  MORE_THAN_ONE,
  NOT_503,
  NOT_BACK,
  NOT_KEPT,
  NOT_PASSED_ON,
  type Stage,
} from '../../support/fault-row.ts';
import { whileTimePasses } from '../../support/fault-world.ts';
import { PATIENCE_MS } from '../../support/own-time.ts';
import { ok } from '../../support/raw.ts';
import { until } from '../../support/until.ts';

const SENT_TWICE = 'a request reaches the API more often than it may';
const CALLERS = 1000;

function refused(status: number, challenge?: string): string {
  const header = challenge === undefined ? '' : `WWW-Authenticate: ${challenge}\r\n`;
  return `HTTP/1.1 ${status} Refused\r\nContent-Length: 2\r\n${header}\r\nno`;
}

const INVALID = refused(401, 'Bearer error="invalid_token"');

/** An answer that blames no stale token: it is passed on, and no token request follows. */
function passedOn(id: string, name: string, answer: string, method = 'GET'): FaultRow {
  return {
    id,
    name: `${name}: it reaches the caller as it is, and no token is fetched for it`,
    control: answer.includes(' 401 ') ? { fails: NOT_PASSED_ON } : 'passes',
    async play(stage) {
      const world = await stage.open({ answer: () => answer });
      await world.settled('obtained', 1);
      await world.clock.advance(5000);
      const seen = await world.ask({ method, ...(method === 'POST' && { body: 'amount=1' }) });
      stage.check(NOT_PASSED_ON, answer.startsWith(`HTTP/1.1 ${seen.status} `) && seen.body === 'no');
      stage.check(MORE_THAN_ONE, world.identity.requests.length === 1);
      stage.check(SENT_TWICE, world.upstream.requests.length === 1);
    },
  };
}

/** A world whose first token is revoked after it has served. */
async function revoked(stage: Stage) {
  const world = await stage.open({ answer: (token) => (gone.has(token) ? INVALID : ok('fine')) });
  const gone = new Set<string>();
  await world.settled('obtained', 1);
  stage.check(NOT_KEPT, (await world.ask()).status === 200);
  await world.clock.advance(5000);
  gone.add('tok-1');
  return world;
}

export const CALLER_ROWS: readonly FaultRow[] = [
  {
    id: 'T19',
    name: 'a thousand callers at a cold start: one token request, and all are served',
    crowd: true,
    control: { fails: MORE_THAN_ONE },
    async play(stage) {
      const world = await stage.open();
      for (const { status } of await world.askMany(CALLERS)) stage.check(NOT_BACK, status === 200);
      stage.check(MORE_THAN_ONE, world.identity.requests.length === 1);
    },
  },
  {
    id: 'T19',
    name: 'a thousand callers while the endpoint hangs: one token request, and all get 503 together',
    crowd: true,
    control: { fails: NOT_503 },
    async play(stage) {
      const world = await stage.open({ fault: () => undefined });
      const asked = world.askMany(CALLERS);
      await world.inFlight(CALLERS);
      world.passDeadline();
      for (const { status } of await asked) stage.check(NOT_503, status === 503);
      stage.check(MORE_THAN_ONE, world.identity.requests.length === 1);
    },
  },
  {
    id: 'T20',
    name: 'a revoked token: it is replaced, and the request goes again once with the same bytes',
    control: 'passes',
    async play(stage) {
      const world = await revoked(stage);
      const seen = await world.ask({ method: 'POST', body: 'amount=1' });
      stage.check(NOT_BACK, seen.status === 200);
      const sent = world.upstream.requests.slice(1).map(({ body }) => body);
      stage.check(SENT_TWICE, sent.join() === 'amount=1,amount=1');
      stage.check(MORE_THAN_ONE, world.identity.requests.length === 2);
    },
  },
  {
    id: 'T20',
    name: 'a token revoked under fifty callers: one token request for all of them',
    control: { fails: MORE_THAN_ONE },
    async play(stage) {
      const world = await revoked(stage);
      for (const { status } of await world.askMany(50)) stage.check(NOT_BACK, status === 200);
      stage.check(MORE_THAN_ONE, world.identity.requests.length === 2);
    },
  },
  {
    id: 'T20',
    name: 'an API that refuses every token: callers get its 401, and the endpoint is asked once a second at most',
    control: { fails: NOT_PASSED_ON },
    async play(stage) {
      const world = await stage.open({ answer: () => INVALID, waitMs: 10_000 });
      await world.settled('obtained', 1);
      const startMs = world.clock.now().monotonicMs;
      for (let second = 0; second < 3; second += 1) {
        await world.clock.advance(1000);
        const seen = await whileTimePasses(world, world.askMany(10));
        for (const { status } of seen) stage.check(NOT_PASSED_ON, status === 401);
      }
      // One to begin with, one at once, and one a second.
      const passedS = Math.floor((world.clock.now().monotonicMs - startMs) / 1000);
      stage.check(HAMMERS, world.identity.requests.length <= 2 + passedS);
      stage.check(SENT_TWICE, world.upstream.requests.length <= 60);
    },
  },
  {
    id: 'T20',
    name: 'a token refused under a thousand callers the moment it came: two token requests, and all are served',
    crowd: true,
    control: { fails: MORE_THAN_ONE },
    async play(stage) {
      const world = await stage.open({ answer: (token) => (token === 'tok-1' ? INVALID : ok('fine')) });
      await world.settled('obtained', 1);
      for (const { status } of await world.askMany(CALLERS)) stage.check(NOT_BACK, status === 200);
      stage.check(MORE_THAN_ONE, world.identity.requests.length === 2);
    },
  },
  passedOn('T20', 'a 401 without a challenge to a POST', refused(401), 'POST'),
  passedOn('T20', 'a 401 with a Basic challenge', refused(401, 'Basic realm="x"')),
  passedOn('T21', 'a 401 for insufficient scope', refused(401, 'Bearer error="insufficient_scope"')),
  passedOn('T21', 'a 403', refused(403, 'Bearer error="invalid_token"')),
  {
    id: 'T27',
    name: 'two routes with different scopes: each is sent with the token for its own',
    control: { leftOut: 'it has one route' },
    async play(stage) {
      const config = (upstream: string) => ({
        routes: [
          { path: '/api', upstream },
          { path: '/events', upstream: `${upstream}/e`, scope: 'events' },
        ],
      });
      const world = await stage.open({ config });
      await world.settled('obtained', 2);
      for (const path of ['/api/x', '/events/x', '/api/x', '/events/x']) {
        stage.check(NOT_KEPT, (await world.ask({ path })).status === 200);
      }
      const scopeOf = new Map(world.identity.requests.map(({ body }, index) => [`Bearer tok-${index + 1}`, body]));
      for (const { target, fields } of world.upstream.requests) {
        const authorization = fields.find(([name]) => name.toLowerCase() === 'authorization')?.[1] ?? '';
        const scope = new URLSearchParams(scopeOf.get(authorization)).get('scope');
        stage.check(MISUSE, scope === (target.startsWith('/e/') ? 'events' : 'api'));
      }
    },
  },
  {
    id: 'T29',
    name: 'a caller that leaves while the token is fetched: the others get it, and nothing is sent for the one who left',
    control: { fails: MORE_THAN_ONE },
    async play(stage) {
      const held: (() => void)[] = [];
      const world = await stage.open({
        fault: (socket, count) => void held.push(() => world.grant()(socket, count)),
      });
      const leaving = new AbortController();
      const staying = world.askMany(3);
      const left = world.ask({ signal: leaving.signal });
      // All of the control's callers have asked for a token of their own by then.
      await world.inFlight(4);
      await until('the token is asked for', () => held.length === (stage.subject === 'naive' ? 4 : 1), PATIENCE_MS);
      leaving.abort();
      stage.check(NOT_KEPT, (await left).status === 0);
      for (const release of held) release();
      for (const { status } of await staying) stage.check(NOT_BACK, status === 200);
      await world.inFlight(0);
      stage.check(SENT_TWICE, world.upstream.requests.length === 3);
      stage.check(MORE_THAN_ONE, world.identity.requests.length === 1);
    },
  },
];
