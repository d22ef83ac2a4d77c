/** What docs/operations.md promises of a stop. */
import { stampOf } from '../platform/network.ts';
import type { Invariant } from './invariants.ts';

/** Default of `drain.limit`; timers have whole ms. */
const LIMIT_MS = 30_000 - 1;
/** Until a call is under way in its sidecar. */
const ON_ITS_WAY_MS = 100;

export const stopsGently: Invariant = {
  sentence: 'A call that is under way when its sidecar is told to stop has half a minute, awake, to finish.',
  watch: (world, violated) => (observation) => {
    if (observation.kind !== 'told' || observation.told.code !== 'SIDECAR_STOPPED') return;
    const { id, attempt, sidecar } = observation.told;
    const host = world.hosts.find(({ machine }) => machine === sidecar?.machine);
    const called = world.calledAt(id, String(attempt));
    if (!host?.isStopping || !called) return;
    const { stoppingSince, machine } = host;
    const tookMs = stampOf(world.platform.time, { machine }).monotonicMs - stoppingSince;
    if (called.monotonicMs + ON_ITS_WAY_MS < stoppingSince && tookMs < LIMIT_MS)
      violated(`payment ${id} was cut off after ${Math.round(tookMs)} ms`);
  },
};
