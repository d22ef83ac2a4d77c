/** The process itself: that it lives, recovers and does not grow. */
import type { Told } from '../world/observation.ts';
import type { World } from '../world/world.ts';
import type { Invariant } from './invariants.ts';

/** With everything at rest: the sidecar's own timers and idle connections, and those of the world. */
const MOST_EVENTS = 60;
/** Of the sidecar: listeners, idle connections, and three watchers of files. */
const MOST_HANDLES = 20;

export const neverEnds: Invariant = {
  sentence: 'The process never ends by itself, no promise is rejected unhandled, and it drains when it is stopped.',
  watch: (_world, violated) => (observation) => {
    if (observation.kind === 'crash') violated(String((observation.error as Error)?.stack ?? observation.error));
    if (observation.kind === 'stopped' && !observation.drained) violated('requests were cut off at the end');
  },
};

export const recovers: Invariant = {
  sentence:
    'From five and a half minutes after the last fault on, every call succeeds, and none is left without an outcome. Excused: one that is beyond the lot of its member, for a second.',
  watch(world, violated) {
    let hasRecovered = false;
    return (observation) => {
      if (observation.kind === 'recovered') hasRecovered = true;
      if (hasRecovered && observation.kind === 'told' && needsNextLot(world, observation.told))
        world.observe({ kind: 'excused', why: 'a call beyond the lot of its member' });
      else if (hasRecovered && observation.kind === 'told' && observation.told.status !== 201)
        violated(`payment ${observation.told.id} got ${observation.told.status} ${observation.told.code}`);
      const open = world.erps.reduce((sum, erp) => sum + erp.open, 0);
      if (observation.kind === 'end' && open > 0) violated(`${open} payments have no outcome`);
    };
  },
};

function needsNextLot({ budget }: World, { code, retryAfterS }: Told): boolean {
  return budget !== undefined && code === 'CALLER_LIMIT' && (retryAfterS ?? 0) <= 1;
}

export const isBounded: Invariant = {
  sentence: 'What waits to happen does not grow: at rest only a few timers and connections are left.',
  watch: (world, violated) => (observation) => {
    const count = observation.kind === 'recovered' || observation.kind === 'end' ? world.platform.time.waiting : 0;
    if (count > MOST_EVENTS * world.hosts.length) violated(`${count} events wait`);
    if (observation.kind !== 'recovered') return;
    for (const { process } of world.hosts)
      if (process && process.handles > MOST_HANDLES) violated(`${process.handles} handles are open in ${process.name}`);
  },
};
