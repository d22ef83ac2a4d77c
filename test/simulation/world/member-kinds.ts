/** How members of a fleet come and go, and differ. */
import type { Difference } from './members.ts';
import type { Args, Kind, World } from './world.ts';

const MINUTE = 60_000;
const DAY = 86_400_000;
/** A first command for what was begun, and the next one for what was refused; the one after it gives back what is left. */
const LOT_COMES_MS = 600;
/** The lock and a token, the rotator's lease and journal, a lot of the budget, a heartbeat. */
const SCRIPTS = ['acquire', 'acquire', 'hold', 'lease', 'lease', 'note', 'note', 'budget', 'beat'] as const;

/** What a host can have there. */
function heldIn({ iam, budget }: World, script: string): string {
  if (script === 'lease' || script === 'note') return iam ? script : 'acquire';
  return script === 'budget' && budget === undefined ? 'hold' : script;
}

function kind(draw: Kind['draw'], apply: (world: World, args: Args) => void): Kind {
  return { weight: 0, needs: 'fleet', isElsewhere: true, draw, apply };
}

export const MEMBER_KINDS: Readonly<Record<string, Kind>> = {
  'member.joins': kind(
    (chance) => ({ isCopy: chance.between(0, 1) }),
    (world, { isCopy, host }) => {
      const original = world.hosts.find((one) => one !== world.hostOf(host));
      world.members.join(world.hostOf(host), isCopy === 1 ? original : undefined);
    },
  ),
  /** It is made to need what it then has when it leaves. */
  'member.goesForEver': kind(
    (chance) => ({
      ...{ script: chance.pick(SCRIPTS), times: chance.between(1, 4) },
      ...{ afterMs: chance.pick([0, 1, 30, 400, 5000]), patienceMs: chance.pick([20_000, MINUTE]) },
    }),
    (world, { script, times, afterMs, patienceMs, host }) => {
      const leaving = world.hostOf(host);
      const held = heldIn(world, String(script));
      world.members.leaveAfter(leaving, {
        ...{ script: held, times: held === 'note' ? Number(times) : 1 },
        ...{ afterMs: Number(afterMs), patienceMs: Number(patienceMs) },
      });
      if (held === 'lease' || held === 'note') world.iam?.runs.rotate({ host: leaving });
      else if (held === 'acquire' || held === 'hold') world.identity.revokeAll();
      world.erpOf(host).burst(6, 1);
    },
  ),
  /** All members are restarted, one after the other or at once. */
  'fleet.update': kind(
    (chance) => ({ everyMs: chance.pick([0, 0, 50, 1500, 15_000]) }),
    (world, { everyMs }) => {
      const { time } = world.platform;
      for (const [index, host] of world.hosts.entries())
        time.after(index * Number(everyMs), world.process('operator', host.machine), () =>
          world.apply('process.restart', { host: world.everyHost.indexOf(host) }),
        );
    },
  ),
  /** It gets a lot for callers that it had to refuse, sleeps before it gives it back, and they call again when it wakes up. */
  'member.sleepsWithLot': kind(
    (chance) => ({ ms: chance.pick([4000, 20_000]) }),
    (world, { ms, host }) => {
      const { time } = world.platform;
      const calls = () => world.erpOf(host).burst(world.budget ?? 0, 1);
      // The two commands in different seconds: who asks twice in one gets half as much.
      const waitMs = (1850 - (time.nowMs % 1000)) % 1000;
      time.after(waitMs, time.kernel, calls);
      time.after(waitMs + LOT_COMES_MS, time.kernel, () => {
        time.suspend(world.hostOf(host).machine, Number(ms));
        calls();
      });
    },
  ),
  'member.differs': kind(
    (chance) => ({
      ...{ in: chance.pick(['key', 'prefix', 'scope', 'secret']), isRestarted: chance.between(0, 1) },
      lastsMs: chance.pick([2 * MINUTE, 2 * DAY, 40 * DAY]),
    }),
    (world, { in: difference, isRestarted, lastsMs, host }) => {
      // Where secrets rotate, the two would rotate the same secret apart, or have secrets that only people change.
      const isOfRotation = world.iam !== undefined && (difference === 'prefix' || difference === 'secret');
      world.members.differ(world.hostOf(host), isOfRotation ? 'key' : (difference as Difference), {
        ...{ lastsMs: Number(lastsMs), isRestarted: isRestarted === 1 },
      });
    },
  ),
};
