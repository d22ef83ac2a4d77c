/**
 * Decides when the next request for one token may start: one per second, plus one extra at once for a token that an upstream
 * refuses. After a failure it waits longer, but less while callers wait. Uses both clocks, so a machine that was suspended
 * during a back-off does not wait any longer. Back-off protects an identity server in trouble from its clients.
 */
import { type Clock, elapsedSince, type Instant } from '../core/clock.ts';
import type { TokenResponse } from './token-response.ts';

export interface PaceOptions {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

interface BackOff {
  readonly since: Instant;
  /** Without and with waiting callers, both in ms from `since`. */
  readonly unaskedMs: number;
  readonly awaitedMs: number;
}

/** Shortest time between two token requests, however short tokens live and however many upstreams refuse one. */
const INTERVAL_MS = 1000;
/** One request, and one in reserve. */
const MAX_CREDIT_MS = 2 * INTERVAL_MS;
/** Time between two tries while callers wait: a caller that waits 10 s sees at least one try and its response. */
const AWAITED_MS = { min: 8500, max: 9500 } as const;
/** After up to this many failures in a row the normal back-off is no longer than `AWAITED_MS`. */
const SHORT_BACKOFFS = 3;

export class RequestPace {
  readonly #options: PaceOptions;
  #lastStart: Instant | undefined;
  /** Value at `#lastStart`; grows with time, and a request costs `INTERVAL_MS`. */
  #creditMs = MAX_CREDIT_MS;
  #backOff: BackOff | undefined;
  #failures = 0;

  constructor(options: PaceOptions) {
    this.#options = options;
  }

  /** Failures in a row. */
  get failures(): number {
    return this.#failures;
  }

  /** Ms until a request may start, without the back-off. @param isRenewal an upstream has refused the last token */
  pauseMs(isRenewal = false): number {
    const sinceMs = this.#sinceMs();
    return Math.max(0, INTERVAL_MS - (isRenewal ? this.#creditMs + sinceMs : sinceMs));
  }

  /** Waits until a request may start. */
  pause(isRenewal: boolean): Promise<void> {
    return new Promise((resolve) => void this.#options.clock.startTimer(this.pauseMs(isRenewal), resolve));
  }

  /** Ms until the back-off ends. @param isAwaited whether callers wait */
  retryInMs(isAwaited: boolean): number {
    if (this.#backOff === undefined) return 0;
    const { since, awaitedMs, unaskedMs } = this.#backOff;
    return Math.max(0, (isAwaited ? awaitedMs : unaskedMs) - elapsedSince(since, this.#options.clock.now()));
  }

  /** Notes that a request starts now, and returns that moment. */
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

  /** Starts a back-off of at least the server's Retry-After. After a refusal it is not shorter for waiting callers. */
  fail(response: Exclude<TokenResponse, { kind: 'token' }>): void {
    this.#failures += 1;
    const random = this.#options.random();
    const askedMs = response.kind === 'unavailable' ? (response.retryAfterS ?? 0) * 1000 : 0;
    const isRefused = response.kind === 'rejected';
    const ownMs = isRefused ? rejectionBackoffMs(random) : backoffMs(this.#failures, random);
    const apartMs = AWAITED_MS.min + (AWAITED_MS.max - AWAITED_MS.min) * random;
    // A slow try has used up part of the wait; at least one second remains.
    const boundedMs = Math.max(INTERVAL_MS, apartMs - this.#sinceMs());
    const awaitedMs = isRefused || this.#failures <= SHORT_BACKOFFS ? ownMs : boundedMs;
    this.#backOff = {
      since: this.#options.clock.now(),
      unaskedMs: Math.max(askedMs, ownMs),
      awaitedMs: Math.max(askedMs, awaitedMs),
    };
  }

  /** Allows a request at once: an operator asked for it. */
  hurry(): void {
    this.#backOff = undefined;
    this.#lastStart = undefined;
  }

  #sinceMs(): number {
    return this.#lastStart ? elapsedSince(this.#lastStart, this.#options.clock.now()) : Number.POSITIVE_INFINITY;
  }
}

/** Longest wait after a temporary failure. */
const MAX_BACKOFF_MS = 60_000;

/** Shortest wait between two attempts, whatever servers or tokens ask for. */
const MIN_BACKOFF_MS = 1000;

/** Returns a random wait between 1 s and a bound that doubles from 2 s to 60 s, in ms. @param failures in a row, from 1 */
export function backoffMs(failures: number, random: number): number {
  const bound = Math.min(MAX_BACKOFF_MS, MIN_BACKOFF_MS * 2 ** Math.min(failures, 16));
  return MIN_BACKOFF_MS + (bound - MIN_BACKOFF_MS) * random;
}

/** Returns the wait after the server refused the client, 60 to 90 s, in ms: servers lock out clients that retry fast. */
export function rejectionBackoffMs(random: number): number {
  return MAX_BACKOFF_MS * (1 + random / 2);
}
