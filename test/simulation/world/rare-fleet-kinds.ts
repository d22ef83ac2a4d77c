/** Rare events of fleets: what a member must still know when the store, or its own settings, are not what they were. */
import type { RareKind } from './rare-kinds.ts';
import { STORE } from './store.ts';
import type { World } from './world.ts';

const LONGEST_MS = 90_000;
const CUT_OFF_MS = 20_000;

export const RARE_FLEET_KINDS: Readonly<Record<string, RareKind>> = {
  /** The store loses everything after a promotion, and the member that cannot reach it then is the one that lacks the new secret. */
  'fleet.storeLostInOverlap': {
    ...{ weight: 0, isAlways: true, draw: (chance) => ({ afterMs: chance.pick([0, 1000, 2500]) }) },
    fits: ({ members, parts }) => members > 1 && parts.iam?.overlap === '5s',
    apply(world, { afterMs, host }) {
      const { network } = world.platform;
      const { machine } = world.hostOf((Number(host) + 1) % world.hosts.length);
      calm(world);
      later(world, 1000, () => world.iam?.runs.rotate({ host: world.hostOf(host) }));
      const isBegun = () => world.iam?.administrator.journal?.attempt?.phase === 'created';
      const cutOff = () => {
        network.block(STORE, machine);
        later(world, CUT_OFF_MS, () => network.unblock(STORE, machine));
        // Three tries of the new secret, a second apart, come before it is promoted.
        later(world, 3000 + Number(afterMs), () => world.fleet?.store.wipe());
      };
      when(world, isBegun, cutOff, LONGEST_MS);
    },
  },
  /** One member learns that the token is refused, cannot get another one, and gets other keys: the store still has that token. */
  'fleet.keyAfterRefusal': {
    ...{ weight: 0, draw: () => ({ ms: 4000 }) },
    fits: ({ members, parts }) => members > 1 && parts.iam === undefined,
    apply(world, { ms }) {
      const { fleet, identity, erp } = world;
      fleet?.changeKey(20_000);
      later(world, 300, () => {
        identity.revokeAll();
        identity.fault.down(Number(ms));
        erp.burst(2, 1);
      });
      for (const afterMs of [1500, 3000]) later(world, afterMs, () => erp.burst(2, 100));
    },
  },
};

/** What else is wrong would keep a rotation from coming so far. */
export function calm({ iam, identity, fleet }: World): void {
  identity.fault.repair();
  iam?.server.repair();
  fleet?.store.repair();
  iam?.administrator.leaveOne();
}

export function later(world: World, ms: number, act: () => void): void {
  const { time } = world.platform;
  time.after(ms, time.kernel, act);
}

const LOOK_MS = 250;
const LOOKS_FOR_MS = 3 * 60_000;

/** Looks again and again for some minutes. */
export function when(world: World, isThere: () => boolean, then: () => void, leftMs = LOOKS_FOR_MS): void {
  if (isThere()) then();
  else if (leftMs > 0) later(world, LOOK_MS, () => when(world, isThere, then, leftMs - LOOK_MS));
}
