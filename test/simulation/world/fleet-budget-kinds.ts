/** What a budget is for: callers that ask for more than the fleet may begin. */
import type { Kind } from './world.ts';

export const FLEET_BUDGET_KINDS: Readonly<Record<string, Kind>> = {
  'fleet.rush': {
    ...{ weight: 3, needs: 'fleet', isElsewhere: true },
    draw: (chance) => ({ count: chance.between(10, 25), everyMs: chance.pick([1, 30, 300, 1500]) }),
    apply: ({ erps }, { count, everyMs }) => {
      for (const erp of erps) erp.burst(Number(count), Number(everyMs));
    },
  },
  'erp.rush': {
    ...{ weight: 2, needs: 'fleet' },
    draw: (chance) => ({ count: chance.between(10, 40), everyMs: chance.pick([1, 30, 300, 1500]) }),
    apply: (world, { count, everyMs, host }) => world.erpOf(host).burst(Number(count), Number(everyMs)),
  },
};
