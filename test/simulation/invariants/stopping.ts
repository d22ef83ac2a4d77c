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
    if (observation.kind !== 'told') return;
    const { id, attempt, code, status, machine } = observation.told;
    const host = world.hosts.find((one) => one.machine === machine);
    const called = world.calledAt(id, String(attempt));
    if (!host?.isStopping || !called) return;
    // Who is killed meanwhile responds to nobody; of another process, a caller may learn nothing for long.
    const hasJustEnded = world.platform.time.nowMs - host.stoppedAt < ON_ITS_WAY_MS;
    const isCutOff = code === 'SIDECAR_STOPPED' || (status === undefined && hasJustEnded);
    const { stoppingSince } = host;
    const tookMs = stampOf(world.platform.time, { machine }).monotonicMs - stoppingSince;
    if (isCutOff && called.monotonicMs + ON_ITS_WAY_MS < stoppingSince && tookMs < LIMIT_MS)
      violated(`payment ${id} was cut off after ${Math.round(tookMs)} ms`);
  },
};
