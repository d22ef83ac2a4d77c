/** Row T05: the identity server says when to come back, or says nonsense about it. */
import { createFakeClock, type FakeClock } from '../../support/clock.ts';
import { type FaultRow, HAMMERS, keptThenExpired, NOT_503, NOT_BACK } from '../../support/fault-row.ts';
import { type Fault, status } from '../../support/fault-server.ts';

const EARLY = 'the server is asked before the time it gave';

/** @param header told the time by the clock of the sidecar, which stands still while a slow machine takes its time */
function told(name: string, code: number, header: (nowMs: number) => string): FaultRow {
  return {
    id: 'T05',
    name: `${name}: callers are told the same, and the server is not asked earlier`,
    control: { fails: EARLY },
    async play(stage) {
      const busy = (clock: FakeClock): Fault => {
        return (...asked) => status(code, 'busy', { 'Retry-After': header(clock.now().wallMs) })(...asked);
      };
      await keptThenExpired(stage, { begin: ({ identity, clock }) => identity.behave(busy(clock)) });
      const clock = createFakeClock();
      const world = await stage.open({ clock, fault: busy(clock) });
      await world.settled('failed', 1);
      const first = await world.ask();
      stage.check(NOT_503, first.status === 503);
      stage.check('callers are not told when', first.retryAfterS >= 88 && first.retryAfterS <= 90);
      await world.clock.advance(60_000);
      await world.askMany(3);
      stage.check(EARLY, world.identity.requests.length === 1);
      world.identity.behave(world.grant());
      await world.clock.advance(31_000);
      await world.settled('obtained', 1);
      stage.check(NOT_BACK, (await world.ask()).status === 200);
    },
  };
}

function nonsense(value: string): FaultRow {
  return {
    id: 'T05',
    name: `429 with Retry-After "${value}": it counts as none, and the next attempt comes within seconds`,
    control: { fails: HAMMERS },
    async play(stage) {
      const world = await stage.open({ fault: status(429, 'busy', { 'Retry-After': value }) });
      await world.settled('failed', 1);
      for (const { status: code } of await world.askMany(5)) stage.check(NOT_503, code === 503);
      stage.check(HAMMERS, world.identity.requests.length <= 2);
      world.identity.behave(world.grant());
      await world.clock.advance(3000);
      stage.check(NOT_BACK, (await world.ask()).status === 200);
    },
  };
}

export const RETRY_AFTER_ROWS: readonly FaultRow[] = [
  told('429 with Retry-After in seconds', 429, () => '90'),
  told('503 with Retry-After in seconds', 503, () => '90'),
  told('429 with Retry-After as a date', 429, (nowMs) => new Date(nowMs + 90_000).toUTCString()),
  ...['-40', '0', 'soon', '', '1e9', 'Thu, 01 Jan 1970 00:00:00 GMT'].map((value) => nonsense(value)),
  {
    id: 'T05',
    name: '429 with Retry-After of years: the next attempt comes within five minutes',
    control: { fails: HAMMERS },
    async play(stage) {
      const world = await stage.open({ fault: status(429, 'busy', { 'Retry-After': '999999999' }) });
      await world.settled('failed', 1);
      for (const { status: code, retryAfterS } of await world.askMany(5)) {
        stage.check(NOT_503, code === 503 && retryAfterS <= 300);
      }
      stage.check(HAMMERS, world.identity.requests.length <= 2);
      world.identity.behave(world.grant());
      await world.clock.advance(301_000);
      await world.settled('obtained', 1);
      stage.check(NOT_BACK, (await world.ask()).status === 200);
    },
  },
];
