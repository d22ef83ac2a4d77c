/**
 * Reads the history of a route; `history.ts` records it.
 */
import type { Instant } from '../core/clock.ts';
import type { Failure } from '../core/failure.ts';

/**
 * The last five minutes of a route. A latency is the middle of its bucket: at most 12.5 % off between 1 ms and a
 * minute.
 */
export interface Recent {
  readonly requests: number;
  readonly errors: number;
  /** Undefined if no request got a response. */
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
}

export interface RouteHistory {
  readonly last5m: Recent;
  /** One number per minute, oldest first; the last minute is still running. */
  readonly last30m: { readonly requests: readonly number[]; readonly errors: readonly number[] };
  readonly last: Last;
}

/** The last calls, without those that failed only because of the caller. */
export interface Last {
  /** Epoch ms. */
  readonly successAt: number | undefined;
  readonly failure: LastFailure | undefined;
  /** First failure since the last success, epoch ms; undefined if the latest call succeeded. */
  readonly failingSince: number | undefined;
}

/** The failed call that began last. */
export interface LastFailure extends MetFailure {
  /** Milliseconds, by the clock that advanced more. */
  readonly agoMs: number;
  /** Failures since the last success; 0 if the latest call succeeded. */
  readonly inARow: number;
  /** Calls in the last five minutes, and how many of them failed. */
  readonly calls5m: number;
  readonly failed5m: number;
}

export interface MetFailure {
  /** Epoch ms. */
  readonly at: number;
  /** Undefined if the API itself responded with the error. */
  readonly code: string | undefined;
  readonly status: number;
  readonly failure?: Failure | undefined;
}

/** Layout of the ring of a route. */
export const GRID = {
  slotMs: 10_000,
  /** Thirty minutes of counts, five of latencies. */
  slots: 180,
  recentSlots: 30,
  /** Latency buckets: four per octave, in units of 0.25 ms, up to more than a minute. */
  unitsPerMs: 4,
  buckets: 72,
} as const;

const { slotMs: SLOT_MS, slots: SLOTS, recentSlots: RECENT_SLOTS, unitsPerMs: UNITS_PER_MS, buckets: BUCKETS } = GRID;
const SLOTS_A_MINUTE = 6;

/** The counts of one route in a ring buffer. */
export interface Ring {
  /** The slot number in each place, counted from the start of the clock; -1 = empty. */
  readonly slots: Int32Array;
  readonly requests: Uint32Array;
  readonly errors: Uint32Array;
  readonly latencies: Uint32Array;
  latest: number;
  readonly last: { read(now: Instant, calls5m: () => number): Last };
}

/** Returns the history; each part is computed on access, because probes ask often and only for `last`. */
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

/** The non-empty slots of a ring, latest first. */
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

/** Percentile by nearest rank. */
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

/** Milliseconds in the middle of the bucket. */
function msOf(bucket: number): number {
  if (bucket < 4) return (bucket + 0.5) / UNITS_PER_MS;
  const octave = Math.floor(bucket / 4) + 1;
  const width = 2 ** (octave - 2);
  return ((4 + (bucket % 4)) * width + width / 2) / UNITS_PER_MS;
}
