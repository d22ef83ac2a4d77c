/**
 * What a route's history says, for who looks at it; recording is done elsewhere.
 */
import type { Instant } from '../core/clock.ts';
import type { Failure } from '../core/failure.ts';

/** The last five minutes of a route. A latency is the middle of its bucket, at most 12.5 % off from 1 ms to a minute. */
export interface Recent {
  readonly requests: number;
  readonly errors: number;
  /** Undefined where no request got a response. */
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
}

export interface RouteHistory {
  readonly last5m: Recent;
  /** A number for each of the last thirty minutes, oldest first; the last one is not over yet. */
  readonly last30m: { readonly requests: readonly number[]; readonly errors: readonly number[] };
  readonly last: Last;
}

/** Calls that callers alone are to blame for do not count. */
export interface Last {
  /** Epoch ms. */
  readonly successAt: number | undefined;
  readonly failure: LastFailure | undefined;
  /** When the first failure since the last success was met, epoch ms; undefined where a success is the latest. */
  readonly failingSince: number | undefined;
}

/** Of the failed call that began last. */
export interface LastFailure extends MetFailure {
  /** Milliseconds, by whichever clock says more. */
  readonly agoMs: number;
  /** Failures since the last success; 0 where a success is the latest. */
  readonly inARow: number;
  /** Calls of the last five minutes, and those of them that failed. */
  readonly calls5m: number;
  readonly failed5m: number;
}

export interface MetFailure {
  /** Epoch ms. */
  readonly at: number;
  /** Undefined where the API itself responded so. */
  readonly code: string | undefined;
  readonly status: number;
  readonly failure?: Failure | undefined;
}

/** How the ring of a route is laid out. */
export const GRID = {
  slotMs: 10_000,
  /** Thirty minutes of counts, five of latencies. */
  slots: 180,
  recentSlots: 30,
  /** Of latencies, four to the octave of quarter milliseconds: 0.25 ms to more than a minute. */
  unitsPerMs: 4,
  buckets: 72,
} as const;

const { slotMs: SLOT_MS, slots: SLOTS, recentSlots: RECENT_SLOTS, unitsPerMs: UNITS_PER_MS, buckets: BUCKETS } = GRID;
const SLOTS_A_MINUTE = 6;

/** Everything of one route, overwritten in a circle. */
export interface Ring {
  /** Which ten seconds a place holds, counted from the start of the clock; -1 none. */
  readonly slots: Int32Array;
  readonly requests: Uint32Array;
  readonly errors: Uint32Array;
  readonly latencies: Uint32Array;
  latest: number;
  readonly last: { read(now: Instant, calls5m: () => number): Last };
}

/** Each part is summed up only for those who look at it: probes ask often, and for the last calls alone. */
export function readRing(ring: Ring | undefined, now: Instant): RouteHistory {
  const slot = Math.floor(now.monotonicMs / SLOT_MS);
  return {
    get last5m() {
      return lastFiveMinutes(ring, slot);
    },
    get last30m() {
      return lastThirtyMinutes(ring, slot);
    },
    get last() {
      if (ring)
        return ring.last.read(now, () =>
          slotsOf(ring, slot, RECENT_SLOTS).reduce((sum, { requests }) => sum + requests, 0),
        );
      return { successAt: undefined, failure: undefined, failingSince: undefined };
    },
  };
}

/** Those of a ring that hold something, latest first. */
function slotsOf(ring: Ring | undefined, now: number, ages: number) {
  return Array.from({ length: ring ? ages : 0 }, (_, age) => ({ age, slot: now - age })).flatMap(({ age, slot }) => {
    const place = slot % SLOTS;
    if (ring?.slots[place] !== slot) return [];
    return [{ age, slot, requests: ring.requests[place] ?? 0, errors: ring.errors[place] ?? 0 }];
  });
}

function lastFiveMinutes(ring: Ring | undefined, now: number): Recent {
  const recent = { requests: 0, errors: 0 };
  const latencies = new Float64Array(BUCKETS);
  for (const { slot, requests, errors } of slotsOf(ring, now, RECENT_SLOTS)) {
    recent.requests += requests;
    recent.errors += errors;
    if (ring) addTo(latencies, ring.latencies, (slot % RECENT_SLOTS) * BUCKETS);
  }
  return { ...recent, p50Ms: percentile(latencies, 0.5), p99Ms: percentile(latencies, 0.99) };
}

function lastThirtyMinutes(ring: Ring | undefined, now: number): RouteHistory['last30m'] {
  const requests: number[] = Array(SLOTS / SLOTS_A_MINUTE).fill(0);
  const errors: number[] = Array(SLOTS / SLOTS_A_MINUTE).fill(0);
  for (const slot of slotsOf(ring, now, SLOTS)) {
    const minute = requests.length - 1 - Math.floor(slot.age / SLOTS_A_MINUTE);
    requests[minute] = (requests[minute] ?? 0) + slot.requests;
    errors[minute] = (errors[minute] ?? 0) + slot.errors;
  }
  return { requests, errors };
}

function addTo(sums: Float64Array, counts: Uint32Array, from: number): void {
  for (let bucket = 0; bucket < sums.length; bucket += 1)
    sums[bucket] = (sums[bucket] ?? 0) + (counts[from + bucket] ?? 0);
}

/** Nearest rank. */
function percentile(counts: Float64Array, share: number): number | undefined {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return undefined;
  const rank = Math.ceil(total * share);
  let seen = 0;
  const bucket = counts.findIndex((count) => {
    seen += count;
    return seen >= rank;
  });
  return msOf(bucket);
}

/** In the middle of the bucket. */
function msOf(bucket: number): number {
  if (bucket < 4) return (bucket + 0.5) / UNITS_PER_MS;
  const octave = Math.floor(bucket / 4) + 1;
  const width = 2 ** (octave - 2);
  return ((4 + (bucket % 4)) * width + width / 2) / UNITS_PER_MS;
}
