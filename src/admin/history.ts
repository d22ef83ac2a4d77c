/**
 * What happened lately, for a person who looks: requests and latencies per route in buckets of ten seconds, and their
 * errors. Memory is fixed whatever callers do, and recording a request is a handful of integer increments.
 */
import type { Instant } from '../core/clock.ts';
import { createErrorHistory, type ErrorHistory, type RecentError } from './error-history.ts';
import { type Last, LastCalls } from './last-calls.ts';

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

export interface History extends Omit<ErrorHistory, 'record'> {
  /**
   * Counts a finished request. Errors are those with an error code of the sidecar and 5xx responses of the API.
   * @param failure anything but an ordinary response, for the list of errors
   */
  record(
    route: string | undefined,
    status: number,
    ms: number,
    failure: Omit<RecentError, 'at' | 'route' | 'status'> | undefined,
  ): void;
  route(path: string): RouteHistory;
}

export interface HistoryOptions {
  /** Never goes back, ms. */
  readonly monotonicMs: () => number;
  /** Epoch ms. */
  readonly wallMs: () => number;
}

const SLOT_MS = 10_000;
/** Thirty minutes of counts, five of latencies. */
const SLOTS = 180;
const RECENT_SLOTS = 30;
const SLOTS_A_MINUTE = 6;
/** About 12 KiB each. Reloads can name new routes for ever; beyond this, a route is counted once another has been idle. */
const MAX_ROUTES = 256;

/** Four steps to the octave of quarter milliseconds: 0.25 ms to more than a minute. */
const UNITS_PER_MS = 4;
const MAX_UNITS = 2 ** 19 - 1;
const BUCKETS = bucketOf(MAX_UNITS / UNITS_PER_MS) + 1;

/** Everything of one route, overwritten in a circle. */
interface Ring {
  /** Which ten seconds a place holds, counted from the start of the clock; -1 none. */
  readonly slots: Int32Array;
  readonly requests: Uint32Array;
  readonly errors: Uint32Array;
  readonly latencies: Uint32Array;
  latest: number;
  readonly last: LastCalls;
}

/** Builds an empty recorder. */
export function createHistory({ monotonicMs, wallMs }: HistoryOptions): History {
  const rings = new Map<string, Ring>();
  const errors = createErrorHistory();

  return {
    ...errors,
    record(route, status, ms, failure) {
      const at = wallMs();
      if (failure) errors.record({ at, route, status, ...failure });
      if (route === undefined) return;
      const ended = monotonicMs();
      const slot = Math.floor(ended / SLOT_MS);
      const ring = rings.get(route) ?? openRing(rings, route, slot);
      if (!ring) return;
      // A tunnel takes as long as it is wanted.
      count(ring, slot, status === 101 ? undefined : ms, failure !== undefined);
      const began = ended - ms;
      // An API that refuses the token of every call works for nobody, though its response is an ordinary one.
      if (failure === undefined && status !== 401) ring.last.succeed(began, at);
      else ring.last.fail({ at, status, code: failure?.code, failure: failure?.failure }, { began, ended });
    },
    route: (path) => read(rings.get(path), { wallMs: wallMs(), monotonicMs: monotonicMs() }),
  };
}

function openRing(rings: Map<string, Ring>, route: string, slot: number): Ring | undefined {
  if (rings.size >= MAX_ROUTES) {
    const idle = [...rings].find(([, { latest }]) => latest <= slot - SLOTS);
    if (idle === undefined) return undefined;
    rings.delete(idle[0]);
  }
  const ring = {
    slots: new Int32Array(SLOTS).fill(-1),
    requests: new Uint32Array(SLOTS),
    errors: new Uint32Array(SLOTS),
    latencies: new Uint32Array(RECENT_SLOTS * BUCKETS),
    latest: slot,
    last: new LastCalls(),
  };
  rings.set(route, ring);
  return ring;
}

function count(ring: Ring, slot: number, ms: number | undefined, failed: boolean): void {
  const place = slot % SLOTS;
  const latencies = (slot % RECENT_SLOTS) * BUCKETS;
  if (ring.slots[place] !== slot) {
    ring.slots[place] = slot;
    ring.requests[place] = 0;
    ring.errors[place] = 0;
    ring.latencies.fill(0, latencies, latencies + BUCKETS);
    ring.latest = slot;
  }
  increment(ring.requests, place);
  if (failed) increment(ring.errors, place);
  if (ms !== undefined) increment(ring.latencies, latencies + bucketOf(ms));
}

function increment(counts: Uint32Array, at: number): void {
  counts[at] = (counts[at] ?? 0) + 1;
}

/** The highest bit says which octave, the two below it which quarter of it. */
function bucketOf(ms: number): number {
  const units = Math.min(MAX_UNITS, Math.max(0, Math.floor(ms * UNITS_PER_MS)));
  if (units < 4) return units;
  const octave = 31 - Math.clz32(units);
  return (octave - 1) * 4 + ((units >> (octave - 2)) & 3);
}

/** In the middle of the bucket. */
function msOf(bucket: number): number {
  if (bucket < 4) return (bucket + 0.5) / UNITS_PER_MS;
  const octave = Math.floor(bucket / 4) + 1;
  const width = 2 ** (octave - 2);
  return ((4 + (bucket % 4)) * width + width / 2) / UNITS_PER_MS;
}

/** Each part is summed up only for those who look at it: probes ask often, and for the last calls alone. */
function read(ring: Ring | undefined, now: Instant): RouteHistory {
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
