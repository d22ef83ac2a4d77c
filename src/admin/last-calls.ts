/**
 * What the latest calls of a route say of whether it works. A call says what was so when it began: one that hung since before
 * a success and fails after it ends no success, and the end of a long download ends no failure.
 */
import { elapsedSince, type Instant } from '../core/clock.ts';
import type { Failure } from '../core/failure.ts';

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

interface MetFailure {
  /** Epoch ms. */
  readonly at: number;
  /** Undefined where the API itself responded so. */
  readonly code: string | undefined;
  readonly status: number;
  readonly failure?: Failure | undefined;
}

/** A call that is over; ms by the clock that never goes back. */
interface Span {
  readonly began: number;
  readonly ended: number;
}

const SLOT_MS = 10_000;
/** Five minutes. */
const SLOTS = 30;

/** Of one route. Recording is a few assignments, and allocates nothing for a success. */
export class LastCalls {
  #successAt = 0;
  /** Of the latest to begin. */
  #successBegan = Number.NEGATIVE_INFINITY;
  #failureBegan = Number.NEGATIVE_INFINITY;
  #failureEnded = 0;
  #failure: MetFailure | undefined;
  #failingSince = 0;
  #inARow = 0;
  /** Which ten seconds a place holds; failures in them. */
  readonly #slots = new Int32Array(SLOTS).fill(-1);
  readonly #failed = new Uint32Array(SLOTS);

  /** @param began by the clock that never goes back, ms @param at epoch ms */
  succeed(began: number, at: number): void {
    this.#successAt = at;
    if (began > this.#successBegan) this.#successBegan = began;
    if (began >= this.#failureBegan) this.#inARow = 0;
  }

  /** Takes the failures of callers too, and leaves them out. */
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

  /** @param calls5m all calls of the last five minutes, asked for only where there is a failure to tell of */
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
        failed5m: this.#failedSince(Math.floor(now.monotonicMs / SLOT_MS) - SLOTS),
      },
    };
  }

  #count(slot: number): void {
    const place = slot % SLOTS;
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
