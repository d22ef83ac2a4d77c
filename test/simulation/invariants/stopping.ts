/** What docs/operations.md promises of a stop. */
import { stampOf } from '../platform/network.ts';
import type { SidecarHost } from '../world/sidecar-host.ts';
import type { Invariant } from './invariants.ts';

/** Default of `drain.limit`; timers have whole ms. */
const LIMIT_MS = 30_000 - 1;
/** Until a call is under way in its sidecar. */
const ON_ITS_WAY_MS = 100;

export const stopsGently: Invariant = {
  sentence: 'A call that is under way when its sidecar is told to stop has half a minute, awake, to finish.',
  watch(world, violated) {
    const since = new Map<SidecarHost, number>();
    return (observation) => {
      for (const host of world.hosts)
        if (!host.isStopping) since.delete(host);
        else if (!since.has(host)) since.set(host, monotonicOf(host));
      if (observation.kind !== 'told' || observation.told.code !== 'SIDECAR_STOPPED') return;
      const { id, attempt, sidecar } = observation.told;
      const host = world.hosts.find(({ machine }) => machine === sidecar?.machine);
      const stoppedAt = host && since.get(host);
      if (!host || stoppedAt === undefined) return;
      const calledAt = world.calledAt(id, String(attempt))?.monotonicMs ?? Number.POSITIVE_INFINITY;
      const tookMs = monotonicOf(host) - stoppedAt;
      if (calledAt + ON_ITS_WAY_MS < stoppedAt && tookMs < LIMIT_MS) violated(`payment ${id} was cut off after ${Math.round(tookMs)} ms`);
    };
    function monotonicOf({ machine }: SidecarHost): number {
      return stampOf(world.platform.time, { machine }).monotonicMs;
    }
  },
};
