/** A stop or a reload while calls are under way: at a slow API, or for a token that was refused meanwhile. */
import type { Args, Kind, World } from './world.ts';

/** Drawn by an addition. */
export const UNDER_WAY_KINDS: Readonly<Record<string, Kind>> = {
  'process.restartUnderWay': {
    ...{ weight: 1 },
    draw: (chance) => ({ delayMs: chance.pick([2000, 8000, 20_000]), afterMs: chance.pick([300, 1500]) }),
    apply: (world, args) => whileUnderWay(world, args, () => world.sidecar.restart()),
  },
  /** The API refuses the token after the reload: the generation before it has to get another one. */
  'process.reloadUnderWay': {
    ...{ weight: 1 },
    draw: (chance) => ({ delayMs: chance.pick([2000, 4900]), afterMs: chance.pick([300, 1500]) }),
    apply(world, args) {
      whileUnderWay(world, args, () => world.sidecar.reload());
      world.identity.revokeAll();
    },
  },
};

function whileUnderWay(
  { upstream, erp, platform: { time } }: World,
  { delayMs, afterMs }: Args,
  act: () => void,
): void {
  upstream.fault.slow(Number(delayMs), Number(delayMs));
  erp.burst(3, 100);
  time.after(Number(afterMs), time.kernel, act);
}
