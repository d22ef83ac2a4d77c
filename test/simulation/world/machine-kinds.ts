/** What happens to the machine of the sidecar and to its processes. */
import type { Kind } from './world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

export const MACHINE_KINDS: Readonly<Record<string, Kind>> = {
  'clock.step': {
    weight: 3,
    draw: (chance) => ({ ms: chance.pick([-2 * HOUR, -10 * MINUTE, -5000, 5000, 10 * MINUTE, HOUR, 24 * HOUR]) }),
    apply: (world, { ms, host }) => {
      world.hostOf(host).machine.step(world.platform.time.nowMs, Number(ms));
    },
  },
  'clock.drift': {
    weight: 1,
    draw: (chance) => ({ ppm: chance.pick([-500, -50, 50, 500]) }),
    apply: (world, { ppm, host }) => world.hostOf(host).machine.setDrift(world.platform.time.nowMs, Number(ppm) / 1e6),
  },
  // In a fleet the others stay awake, which costs: it is short there.
  'machine.sleep': {
    weight: 3,
    draw: (chance) => ({ ms: chance.pick([3000, 5 * MINUTE, 50 * MINUTE, 61 * MINUTE, 14 * HOUR]) }),
    apply: (world, { ms, host }) =>
      world.platform.time.suspend(
        world.hostOf(host).machine,
        world.fleet ? Math.min(Number(ms), 5 * MINUTE) : Number(ms),
      ),
  },
  'process.kill': { weight: 3, draw: () => ({}), apply: (world, { host }) => world.hostOf(host).kill() },
  'process.restart': { weight: 2, draw: () => ({}), apply: (world, { host }) => world.hostOf(host).restart() },
  'process.reload': { weight: 2, draw: () => ({}), apply: (world, { host }) => world.hostOf(host).reload() },
};
