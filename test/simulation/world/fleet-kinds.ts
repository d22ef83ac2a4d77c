/** What can happen to a fleet: to its store, to the ways of single members, and to the members. */
import { IDENTITY } from './identity-server.ts';
import { STORE } from './store.ts';
import type { Kind, World } from './world.ts';

const MINUTE = 60_000;
const DURATIONS: readonly [number, ...number[]] = [200, 900, 3000, 12_000, 40_000, 2 * MINUTE];
const ERRORS: readonly [string, ...string[]] = [
  'OOM command not allowed when used memory > maxmemory',
  'LOADING the dataset in memory',
  "READONLY You can't write against a read only replica",
  'MISCONF Errors writing to the AOF file',
];

type Draw = Kind['draw'];
type Apply = (world: World, numbers: Readonly<Record<string, number>>) => void;

function kind(weight: number, draw: Draw, apply: Kind['apply']): Kind {
  return { weight, needs: 'fleet', isElsewhere: true, draw, apply };
}

/** One that lasts for `ms`. */
function lasting(weight: number, more: Draw, apply: Apply): Kind {
  const draw: Draw = (chance) => ({ ms: chance.pick(DURATIONS), ...more(chance) });
  return kind(weight, draw, (world, args) => apply(world, args as Readonly<Record<string, number>>));
}

const nothing: Draw = () => ({});

/** Cuts one host off from an address. */
function cutOff(address: string): Kind {
  return lasting(3, nothing, (world, { ms = 0, host }) => {
    const { network, time } = world.platform;
    const { machine } = world.hostOf(host);
    network.block(address, machine);
    time.after(ms, time.kernel, () => network.unblock(address, machine));
  });
}

export const FLEET_KINDS: Readonly<Record<string, Kind>> = {
  'store.down': lasting(
    4,
    (chance) => ({ keeps: chance.between(0, 1) }),
    ({ fleet }, { ms = 0, keeps }) => fleet?.store.down(ms, keeps === 1),
  ),
  'store.frozen': lasting(4, nothing, ({ fleet }, { ms = 0 }) => fleet?.store.freeze(ms)),
  'store.slow': lasting(
    3,
    (chance) => ({ delayMs: chance.pick([5, 60, 200, 260, 2000]) }),
    ({ fleet }, { ms = 0, delayMs = 0 }) => fleet?.store.slow(ms, delayMs),
  ),
  'store.failing': kind(
    2,
    (chance) => ({ ms: chance.pick(DURATIONS), error: chance.pick(ERRORS) }),
    ({ fleet }, { ms, error }) => fleet?.store.failing(Number(ms), String(error)),
  ),
  'store.mute': lasting(2, nothing, ({ fleet }, { ms = 0 }) => fleet?.store.loseNews(ms)),
  'store.wiped': kind(3, nothing, ({ fleet }) => fleet?.store.wipe()),
  'store.failsOver': kind(
    3,
    (chance) => ({ lagMs: chance.pick([10, 300, 1000, 5000]) }),
    ({ fleet }, { lagMs }) => fleet?.store.failOver(Number(lagMs)),
  ),
  'member.cutOff': cutOff(STORE),
  'member.cutOffFromIdentity': cutOff(IDENTITY),
  'member.leaves': lasting(4, nothing, (world, { ms = 0, host }) => {
    const { time } = world.platform;
    const leaving = world.hostOf(host);
    leaving.stop(() => time.after(ms, time.kernel, () => leaving.start()));
  }),
  'fleet.key': kind(
    3,
    (chance) => ({ everyMs: chance.pick([100, 3000, 20_000]) }),
    ({ fleet }, { everyMs }) => fleet?.changeKey(Number(everyMs)),
  ),
  // A moment in which all members need a token at once.
  'fleet.burst': kind(
    6,
    (chance) => ({ count: chance.between(1, 4), everyMs: chance.pick([1, 100, 1500]) }),
    ({ erps }, { count, everyMs }) => {
      for (const erp of erps) erp.burst(Number(count), Number(everyMs));
    },
  ),
  'fleet.revoke': kind(5, nothing, ({ identity, erps }) => {
    identity.revokeAll();
    for (const erp of erps) erp.burst(2, 1);
  }),
};
