/** Rare events of fleets: what a member must still know when the store, or its own settings, are not what they were. */
import type { RareKind } from './rare-kinds.ts';
import type { World } from './world.ts';

const LOOK_MS = 250;
const LONGEST_MS = 90_000;

export const RARE_FLEET_KINDS: Readonly<Record<string, RareKind>> = {
  /** The store loses everything between the promotion of a secret and the deletion of the old one, and nobody has heard of the new one. */
  'fleet.storeLostInOverlap': {
    ...{ weight: 0, isAlways: true, draw: (chance) => ({ afterMs: chance.pick([0, 1500, 3000, 4500]) }) },
    fits: ({ members, parts }) => members > 1 && parts.iam !== undefined,
    apply(world, { afterMs, host }) {
      world.fleet?.store.loseNews(LONGEST_MS);
      world.iam?.runs.rotate({ host: world.hostOf(host) });
      whenPromoted(world, LONGEST_MS, () => {
        later(world, Number(afterMs), () => world.fleet?.store.wipe());
      });
    },
  },
  /** One member learns that the token is refused, cannot get another one, and gets other keys: the store still has that token. */
  'fleet.keyAfterRefusal': {
    ...{ weight: 0, draw: () => ({}) },
    fits: ({ members, parts }) => members > 1 && parts.iam === undefined,
    apply(world) {
      const { fleet, identity, erp } = world;
      fleet?.changeKey(20_000);
      later(world, 300, () => {
        identity.revokeAll();
        identity.fault.down(4000);
        erp.burst(2, 1);
      });
      for (const afterMs of [1500, 3000]) later(world, afterMs, () => erp.burst(2, 100));
    },
  },
};

function whenPromoted(world: World, leftMs: number, then: () => void): void {
  if (world.iam?.administrator.journal?.attempt?.phase === 'promoted') then();
  else if (leftMs > 0) later(world, LOOK_MS, () => whenPromoted(world, leftMs - LOOK_MS, then));
}

function later(world: World, ms: number, act: () => void): void {
  const { time } = world.platform;
  time.after(ms, time.kernel, act);
}
