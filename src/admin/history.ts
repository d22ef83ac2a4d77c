/**
 * Recent requests for the status page: counts and latencies per route in slots of ten seconds, and errors. Memory is
 * bounded whatever callers do, and recording a request takes a few integer increments.
 */
import { elapsedSince, type Instant } from '../core/clock.ts';
import { createErrorHistory, type ErrorHistory, type RecentError } from './error-history.ts';
import { GRID, type Last, type MetFailure, type Ring, type RouteHistory, readRing } from './history-view.ts';

export interface History extends Omit<ErrorHistory, 'record'> {
  /**
   * Counts a finished request.
   * @param ms duration @param failure for every result other than an ordinary response; goes to the list of errors
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
  /** Monotonic clock, ms. */
  readonly monotonicMs: () => number;
  /** Epoch ms. */
  readonly wallMs: () => number;
}

const { slotMs: SLOT_MS, slots: SLOTS, recentSlots: RECENT_SLOTS, unitsPerMs: UNITS_PER_MS, buckets: BUCKETS } = GRID;
/** Values of the last bucket. */
const MAX_UNITS = 2 ** 19 - 1;
/** About 12 KiB each. Reloads can always add routes; beyond this, a new one is counted once another is idle. */
const MAX_ROUTES = 256;

interface RecordedRing extends Ring {
  readonly last: LastCalls;
}

/** Creates an empty history. */
export function createHistory({ monotonicMs, wallMs }: HistoryOptions): History {
  const rings = new Map<string, RecordedRing>();
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
      // The duration of a tunnel is no latency.
      count(ring, slot, status === 101 ? undefined : ms, failure !== undefined);
      const began = ended - ms;
      // A 401 is an ordinary response, but an API that refuses the token does not work.
      if (failure === undefined && status !== 401) ring.last.succeed(began, at);
      else ring.last.fail({ at, status, code: failure?.code, failure: failure?.failure }, { began, ended });
    },
    route: (path) => readRing(rings.get(path), { wallMs: wallMs(), monotonicMs: monotonicMs() }),
  };
}

function openRing(rings: Map<string, RecordedRing>, route: string, slot: number): RecordedRing | undefined {
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

/** The highest bit selects the octave, the next two bits the quarter of it. */
function bucketOf(ms: number): number {
  const units = Math.min(MAX_UNITS, Math.max(0, Math.floor(ms * UNITS_PER_MS)));
  if (units < 4) return units;
  const octave = 31 - Math.clz32(units);
  return (octave - 1) * 4 + ((units >> (octave - 2)) & 3);
}

/** A finished call; ms of the monotonic clock. */
interface Span {
  readonly began: number;
  readonly ended: number;
}

/** The last calls of one route. Recording is a few assignments; a success allocates nothing. */
export class LastCalls {
  #successAt = 0;
  /** Start of the success that began last. */
  #successBegan = Number.NEGATIVE_INFINITY;
  #failureBegan = Number.NEGATIVE_INFINITY;
  #failureEnded = 0;
  #failure: MetFailure | undefined;
  #failingSince = 0;
  #inARow = 0;
  /** The slot in each place, and the failures in it. */
  readonly #slots = new Int32Array(RECENT_SLOTS).fill(-1);
  readonly #failed = new Uint32Array(RECENT_SLOTS);

  /** Records a success. @param began monotonic ms @param at epoch ms */
  succeed(began: number, at: number): void {
    this.#successAt = at;
    if (began > this.#successBegan) this.#successBegan = began;
    if (began >= this.#failureBegan) this.#inARow = 0;
  }

  /** Records a failure; ignores those that only the caller caused. */
  fail(failure: MetFailure, { began, ended }: Span): void {
    if (isCallersFault(failure)) return;
    this.#count(Math.floor(ended / SLOT_MS));
    if (began >= this.#failureBegan) {
      this.#failure = failure;
      this.#failureBegan = began;
      this.#failureEnded = ended;
    }
    if (began < this.#successBegan) return;
    if (this.#inARow === 0) this.#failingSince = failure.at;
    this.#inARow += 1;
  }

  /** @param calls5m returns the calls of the last five minutes; called only if there is a failure */
  read(now: Instant, calls5m: () => number): Last {
    const failure = this.#failure;
    return {
      successAt: this.#successAt || undefined,
      failingSince: this.#inARow > 0 ? this.#failingSince : undefined,
      failure: failure && {
        ...failure,
        agoMs: elapsedSince({ wallMs: failure.at, monotonicMs: this.#failureEnded }, now),
        inARow: this.#inARow,
        calls5m: calls5m(),
        failed5m: this.#failedSince(Math.floor(now.monotonicMs / SLOT_MS) - RECENT_SLOTS),
      },
    };
  }

  #count(slot: number): void {
    const place = slot % RECENT_SLOTS;
    this.#failed[place] = this.#slots[place] === slot ? (this.#failed[place] ?? 0) + 1 : 1;
    this.#slots[place] = slot;
  }

  #failedSince(slot: number): number {
    return this.#failed.reduce((sum, count, place) => ((this.#slots[place] ?? 0) > slot ? sum + count : sum), 0);
  }
}

function isCallersFault({ code }: MetFailure): boolean {
  return code !== undefined && /^(?:CALLER|ROUTE)_/.test(code);
}
