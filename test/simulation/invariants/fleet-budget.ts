/** What docs/tokens.md promises of the one budget of a fleet. */
import type { SimulatedProcess } from '../platform/process.ts';
import type { Observation } from '../world/observation.ts';
import type { World } from '../world/world.ts';
import type { Invariant } from './invariants.ts';

const MINUTE_MS = 60_000;
/** What a member had when it stopped counts for 64 s; and a call may have waited for its token before it is seen. */
const KEPT_MS = 90_000;
/** From the store to the member. */
const ARRIVED_MS = 10;

interface Begun {
  readonly at: number;
  readonly from: SimulatedProcess;
}

/** How many members each one was told of. */
class Told {
  readonly #all = new Map<SimulatedProcess, { readonly at: number; readonly count: number }[]>();

  observe(observation: Observation, nowMs: number): void {
    if (observation.kind !== 'stored' || !observation.by) return;
    const { script, by, reply } = observation;
    if (script !== 'beat' && script !== 'budget') return;
    const count = Number(script === 'beat' ? reply : (reply as unknown[])[2]);
    if (!(count > 0)) return;
    const known = this.#all.get(by) ?? [];
    // The one before the window is what it knew when the window began.
    while ((known[1]?.at ?? nowMs) < nowMs - 2 * KEPT_MS) known.shift();
    known.push({ at: nowMs, count });
    this.#all.set(by, known);
  }

  /** The fewest; one that was never told before it began a call counts itself. */
  least(member: SimulatedProcess, at = Number.POSITIVE_INFINITY): number {
    const known = this.#all.get(member) ?? [];
    const [first] = known;
    return !first || at < first.at + ARRIVED_MS ? 1 : Math.min(...known.map(({ count }) => count));
  }
}

export const budgetHolds: Invariant = {
  sentence:
    'All members together begin, in any minute, no more requests than the limit and the share of each. Excused: the limit once more while the key is changed, or when the store has lost its last moment.',
  watch(world, violated) {
    const told = new Told();
    const seen = new Set<string>();
    let all: Begun[] = [];
    return (observation) => {
      const { nowMs } = world.platform.time;
      const limit = world.fleet && world.budget;
      if (!limit) return;
      told.observe(observation, nowMs);
      if (observation.kind !== 'upstreamRequest' || !observation.request.from) return;
      const { id, attempt, called, from } = observation.request;
      const call = `${id} ${attempt}`;
      if (seen.has(call)) return;
      seen.add(call);
      all = [...all.filter(({ at }) => at > nowMs - KEPT_MS - MINUTE_MS), { at: called.trueMs, from }];
      const window = all.filter(({ at }) => called.trueMs - MINUTE_MS < at && at <= called.trueMs);
      const shares = [...new Set(window.map((one) => one.from))].map((member) =>
        Math.max(1, Math.floor(limit / told.least(member))),
      );
      const most = limit * (1 + more(world)) + shares.reduce((sum, share) => sum + share, 0);
      if (window.length > most) violated(`${window.length} in a minute, at most ${most}`);
    };
  },
};

/** How long a lot counts, and a command may be under way. */
const LOT_MS = 3000 + 300;
/** A minute of whole seconds, of which the last has only begun. */
const SURE_MS = 58_000;

/** When each member was last told something of the budget. */
class Lots {
  readonly #all = new Map<SimulatedProcess, number[]>();

  observe(observation: Observation, nowMs: number): void {
    if (observation.kind !== 'stored' || observation.script !== 'budget' || !observation.by) return;
    const known = this.#all.get(observation.by) ?? [];
    while ((known[1] ?? nowMs) < nowMs - KEPT_MS) known.shift();
    known.push(nowMs);
    this.#all.set(observation.by, known);
  }

  /** The last time until then. */
  before(member: SimulatedProcess, at: number): number {
    return this.#all.get(member)?.findLast((told) => told <= at) ?? Number.NEGATIVE_INFINITY;
  }
}

export const lotEnds: Invariant = {
  sentence:
    'A member begins no more than its share until the store gives it a lot, which counts for three seconds. Excused: while the key is changed.',
  watch(world, violated) {
    const told = new Told();
    const lots = new Lots();
    const seen = new Set<string>();
    let all: (Begun & { readonly lotAt: number })[] = [];
    return (observation) => {
      const { nowMs } = world.platform.time;
      const limit = world.fleet && world.budget;
      if (!limit) return;
      told.observe(observation, nowMs);
      lots.observe(observation, nowMs);
      if (observation.kind !== 'upstreamRequest' || !observation.request.from) return;
      const { id, attempt, called, from } = observation.request;
      const call = `${id} ${attempt}`;
      if (seen.has(call)) return;
      seen.add(call);
      const at = called.trueMs;
      const lotAt = lots.before(from, at);
      if (at < lotAt + LOT_MS || more(world) > 0) return;
      all = [...all.filter((one) => one.at > nowMs - KEPT_MS - MINUTE_MS), { at, from, lotAt }];
      const others = all.filter(
        (one) => one.from === from && one.lotAt === lotAt && at - SURE_MS < one.at && one.at <= at,
      );
      const share = Math.max(1, Math.floor(limit / told.least(from, at)));
      if (others.length > share) violated(`${from.name} began ${others.length} in a minute, its share is ${share}`);
    };
  },
};

function more({ fleet, platform }: World): number {
  if (!fleet) return 0;
  const since = platform.time.nowMs - KEPT_MS - MINUTE_MS;
  const isKeyChanging = fleet.isKeyChanging || fleet.keysChangedAt > since;
  return (isKeyChanging ? 1 : 0) + (fleet.store.lost.at > since ? 1 : 0);
}
