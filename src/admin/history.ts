/**
 * What happened lately, for a person who looks: requests and latencies per route in buckets of ten seconds, and the last
 * errors. Memory is fixed whatever callers do, and recording a request is a handful of integer increments.
 */
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

/** The latest calls that say whether the route works: those that callers alone are to blame for do not count. */
export interface Last {
  /** Epoch ms. */
  readonly successAt: number | undefined;
  readonly failure: RecentError | undefined;
  /** Of the first failure since the last success, epoch ms. */
  readonly failingSince: number | undefined;
}

/** Of a request nothing is kept but this. */
export interface RecentError {
  /** Epoch ms. */
  readonly at: number;
  /** Undefined where the request matched none. */
  readonly route: string | undefined;
  /** Undefined where the API itself responded with an error. */
  readonly code: string | undefined;
  readonly status: number;
  readonly requestId: string;
  /** What was met, where it was met between us and a server. */
  readonly failure?: Failure | undefined;
}

export interface History {
  /**
   * Counts a finished request. Errors are those with an error code of the sidecar, and responses of the API that say that no call works: 5xx, and 401.
   * @param failure anything but an ordinary response, for the list of errors
   */
  record(
    route: string | undefined,
    status: number,
    ms: number,
    failure: Pick<RecentError, 'code' | 'requestId' | 'failure'> | undefined,
  ): void;
  route(path: string): RouteHistory;
  /** Latest first, at most 50. */
  errors(): readonly RecentError[];
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
const MAX_ERRORS = 50;
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
  /** Epoch ms, 0 never. */
  successAt: number;
  failure: RecentError | undefined;
  failingSince: number | undefined;
}

/** Builds an empty recorder. */
export function createHistory({ monotonicMs, wallMs }: HistoryOptions): History {
  const rings = new Map<string, Ring>();
  const errors: RecentError[] = [];
  let nextError = 0;
  const slotNow = () => Math.floor(monotonicMs() / SLOT_MS);

  return {
    record(route, status, ms, failure) {
      const error = failure && { at: wallMs(), route, status, ...failure };
      if (error) {
        errors[nextError] = error;
        nextError = (nextError + 1) % MAX_ERRORS;
      }
      if (route === undefined) return;
      const slot = slotNow();
      const ring = rings.get(route) ?? openRing(rings, route, slot);
      // A tunnel takes as long as it is wanted.
      if (!ring) return;
      count(ring, slot, status === 101 ? undefined : ms, failure !== undefined);
      remember(ring, error, wallMs());
    },
    route: (path) => summarize(rings.get(path), slotNow()),
    errors: () => [...errors.slice(nextError), ...errors.slice(0, nextError)].reverse(),
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
    successAt: 0,
    failure: undefined,
    failingSince: undefined,
  };
  rings.set(route, ring);
  return ring;
}

function remember(ring: Ring, error: RecentError | undefined, now: number): void {
  if (error === undefined) ring.successAt = now;
  else if (!isCallersFault(error)) {
    if (ring.failure === undefined || ring.successAt > ring.failure.at) ring.failingSince = error.at;
    ring.failure = error;
  }
}

function isCallersFault({ code }: RecentError): boolean {
  return code !== undefined && /^(CALLER|ROUTE)_/.test(code);
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

function summarize(ring: Ring | undefined, now: number): RouteHistory {
  const requests: number[] = Array(SLOTS / SLOTS_A_MINUTE).fill(0);
  const errors: number[] = Array(SLOTS / SLOTS_A_MINUTE).fill(0);
  const recent = { requests: 0, errors: 0 };
  const latencies = new Float64Array(BUCKETS);
  for (let age = 0; ring && age < SLOTS; age += 1) {
    const slot = now - age;
    const place = slot % SLOTS;
    if (slot < 0 || ring.slots[place] !== slot) continue;
    const minute = requests.length - 1 - Math.floor(age / SLOTS_A_MINUTE);
    requests[minute] = (requests[minute] ?? 0) + (ring.requests[place] ?? 0);
    errors[minute] = (errors[minute] ?? 0) + (ring.errors[place] ?? 0);
    if (age >= RECENT_SLOTS) continue;
    recent.requests += ring.requests[place] ?? 0;
    recent.errors += ring.errors[place] ?? 0;
    addTo(latencies, ring.latencies, (slot % RECENT_SLOTS) * BUCKETS);
  }
  const last5m = { ...recent, p50Ms: percentile(latencies, 0.5), p99Ms: percentile(latencies, 0.99) };
  const { successAt = 0, failure, failingSince } = ring ?? {};
  return { last5m, last30m: { requests, errors }, last: { successAt: successAt || undefined, failure, failingSince } };
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
