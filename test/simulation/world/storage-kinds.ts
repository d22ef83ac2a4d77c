/** What can happen to the disk, and to processes in the middle of their work with it. */
import type { Kind, World } from './world.ts';

const MINUTE = 60_000;
const WEEK = 7 * 86_400_000;

/** Only worlds in which the sidecar writes files have them. */
export const STORAGE_KINDS: Readonly<Record<string, Kind>> = {
  'machine.powerLoss': { weight: 3, draw: () => ({}), apply: losePower },
  'machine.powerLossSoon': {
    weight: 5,
    draw: (chance) => ({ turns: chance.between(1, 400) }),
    apply: (world, { turns }) => world.sidecar.process?.killAfter(Number(turns), () => losePower(world)),
  },
  'process.killSoon': {
    weight: 5,
    draw: (chance) => ({ turns: chance.between(1, 400) }),
    apply: ({ sidecar }, { turns }) => sidecar.process?.killAfter(Number(turns), () => sidecar.kill()),
  },
  'disk.full': {
    weight: 3,
    draw: (chance) => ({ freeBytes: chance.pick([0, 0, 1, 60, 700, 5000]), ms: chance.pick([3000, 5 * MINUTE, WEEK]) }),
    apply: ({ platform: { disk, time } }, { freeBytes, ms }) => {
      disk.freeBytes = Number(freeBytes);
      time.after(Number(ms), time.kernel, () => {
        disk.freeBytes = Number.POSITIVE_INFINITY;
      });
    },
  },
};

/** Drawn by additions. */
export const LONG_STORAGE_KINDS: Readonly<Record<string, Kind>> = {
  /** Over several stretches, and the quiet times between them. */
  'disk.fullForLong': {
    weight: 1,
    draw: (chance) => ({ freeBytes: chance.pick([0, 0, 300, 5000]), ms: chance.pick([WEEK, 8 * WEEK, 20 * WEEK]) }),
    apply: ({ platform: { disk, time } }, { freeBytes, ms }) => {
      disk.freeBytes = Number(freeBytes);
      time.after(Number(ms), time.kernel, () => {
        disk.freeBytes = Number.POSITIVE_INFINITY;
      });
    },
  },
  /** All hosts at once: also where the sidecar itself writes no files. */
  'machine.powerLossOfAll': {
    ...{ weight: 1, draw: () => ({}) },
    apply: (world) => {
      for (const host of world.hosts) host.kill();
      losePower(world);
    },
  },
};

/** Of the machine: its processes end, and what was not flushed may be gone. */
export function losePower(world: World): void {
  world.trace('machine', 'loses power');
  world.iam?.runs.killAll();
  world.sidecar.kill();
  world.platform.disk.losePower();
}
