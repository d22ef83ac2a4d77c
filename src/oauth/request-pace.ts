/**
 * When the next request for one token may go out: one a second, with one more at once for a token that an upstream refuses;
 * after a failure later, and sooner while callers wait for it than when nobody does. Judged by both clocks, so a machine that
 * slept through a back-off does not go on waiting.
 */
import { type Clock, elapsedSince, type Instant } from '../core/clock.ts';
import { backoffMs, rejectionBackoffMs } from './refresh-policy.ts';
import type { TokenResponse } from './token-response.ts';

export interface PaceOptions {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

interface BackOff {
  readonly since: Instant;
  /** Both in ms from `since`. */
  readonly unaskedMs: number;
  readonly awaitedMs: number;
}

/** Token requests start this far apart, however short tokens live and however many upstreams refuse one. */
const INTERVAL_MS = 1000;
/** One request, and one in reserve. */
const MAX_CREDIT_MS = 2 * INTERVAL_MS;
/** From one try to the next while callers wait: each of those that wait for 10 s sees one, and its response. */
const AWAITED_MS = { min: 8500, max: 9500 } as const;
/** So many failures in a row are followed by a back-off that is no longer than that anyway. */
const SHORT_BACKOFFS = 3;

export class RequestPace {
  readonly #options: PaceOptions;
  #lastStart: Instant | undefined;
  /** At `#lastStart`; grows with time, and a request takes `INTERVAL_MS` of it. */
  #creditMs = MAX_CREDIT_MS;
  #backOff: BackOff | undefined;
  #failures = 0;

  constructor(options: PaceOptions) {
    this.#options = options;
  }

  /** In a row. */
  get failures(): number {
    return this.#failures;
  }

  /** Milliseconds until a request may start, back-off apart. @param isRenewal an upstream has refused the last token */
  pauseMs(isRenewal = false): number {
    const sinceMs = this.#sinceMs();
    return Math.max(0, INTERVAL_MS - (isRenewal ? this.#creditMs + sinceMs : sinceMs));
  }

  /** Milliseconds until the back-off is over. */
  retryInMs(isAwaited: boolean): number {
    if (this.#backOff === undefined) return 0;
    const { since, awaitedMs, unaskedMs } = this.#backOff;
    return Math.max(0, (isAwaited ? awaitedMs : unaskedMs) - elapsedSince(since, this.#options.clock.now()));
  }

  /** A request goes out now. */
  start(): Instant {
    const now = this.#options.clock.now();
    this.#creditMs = Math.max(0, Math.min(MAX_CREDIT_MS, this.#creditMs + this.#sinceMs()) - INTERVAL_MS);
    this.#lastStart = now;
    return now;
  }

  succeed(): void {
    this.#failures = 0;
    this.#backOff = undefined;
  }

  /** Backs off, at least for what the server asks for; after a clear no for as long with callers as without. */
  fail(response: Exclude<TokenResponse, { kind: 'token' }>): void {
    this.#failures += 1;
    const random = this.#options.random();
    const askedMs = response.kind === 'unavailable' ? (response.retryAfterS ?? 0) * 1000 : 0;
    const isRefused = response.kind === 'rejected';
    const ownMs = isRefused ? rejectionBackoffMs(random) : backoffMs(this.#failures, random);
    const apartMs = AWAITED_MS.min + (AWAITED_MS.max - AWAITED_MS.min) * random;
    // After a try that took its time, a second is left at least.
    const boundedMs = Math.max(INTERVAL_MS, apartMs - this.#sinceMs());
    const awaitedMs = isRefused || this.#failures <= SHORT_BACKOFFS ? ownMs : boundedMs;
    this.#backOff = {
      since: this.#options.clock.now(),
      unaskedMs: Math.max(askedMs, ownMs),
      awaitedMs: Math.max(askedMs, awaitedMs),
    };
  }

  /** An operator wants a request now. */
  hurry(): void {
    this.#backOff = undefined;
    this.#lastStart = undefined;
  }

  #sinceMs(): number {
    return this.#lastStart ? elapsedSince(this.#lastStart, this.#options.clock.now()) : Number.POSITIVE_INFINITY;
  }
}
