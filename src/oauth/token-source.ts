/**
 * One kept token: at most one fetch under way however many ask, refreshed behind the callers' backs while still valid,
 * in use until it expires however long the identity server is away, never handed out after that.
 */

import { type Clock, elapsedSince, type Instant } from '../core/clock.ts';
import { SidecarError } from '../core/errors.ts';
import { backoffMs, type Lifespan, planLifespan, rejectionBackoffMs } from './refresh-policy.ts';
import type { Phase, Token, TokenEvents, TokenKey, TokenSnapshot } from './token.ts';
import type { TokenResponse } from './token-endpoint.ts';
import { Waiters } from './waiters.ts';

export interface SourceOptions {
  readonly fetchToken: () => Promise<TokenResponse>;
  readonly events: TokenEvents;
  readonly refreshBeforeMs: number;
  /** How long one caller waits for a token. */
  readonly waitMs: number;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** A token from before a reload: callers go on using it until this source has one of its own. */
  readonly seed?: Token | undefined;
}

type Outcome = { readonly token: Token } | { readonly error: SidecarError };

interface Failure {
  readonly error: SidecarError;
  readonly result: string;
  /** Epoch ms. */
  readonly at: number;
  /** Monotonic ms. */
  readonly retryAtMs: number;
}

/** Timers past 2^31 ms fire at once; a source looks again at least this often instead. */
const MAX_TIMER_MS = 3_600_000;
/** Token requests start at least this far apart, however short tokens live and however many upstreams refuse one. */
const MIN_INTERVAL_MS = 1000;

export class TokenSource {
  readonly key: TokenKey;
  readonly #options: SourceOptions;
  readonly #waiters: Waiters;
  #token: Token | undefined;
  #flight: Promise<Outcome> | undefined;
  #failure: Failure | undefined;
  #failures = 0;
  #lastSuccessAt: number | undefined;
  #generation = 0;
  #closed = false;
  #lastStart: Instant | undefined;
  #cancelTimer: (() => void) | undefined;
  #dueAt: number | undefined;

  /** Starts fetching at once. */
  constructor(key: TokenKey, options: SourceOptions) {
    this.key = key;
    this.#options = options;
    const { waitMs, clock } = options;
    this.#waiters = new Waiters({ credential: key.credential, waitMs, clock });
    this.#token = options.seed;
    this.#lastSuccessAt = options.seed?.since.wallMs;
    void this.#fly();
  }

  /** What a source that takes over from this one can start with. */
  get token(): Token | undefined {
    return this.#token;
  }

  /**
   * The token to send now; a promise only where there is none.
   * @throws SidecarError TOKEN_UNAVAILABLE | CREDENTIALS_REJECTED with `retryAfterS`, thrown or as rejection
   */
  get(): Token | Promise<Token> {
    const { events } = this.#options;
    const phase = this.#phase();
    if (this.#token && phase !== 'expired') {
      events.lookup(phase === 'fresh' ? 'hit' : 'early');
      if (phase === 'early' && this.#mayFlyBehind()) void this.#fly();
      return this.#token;
    }
    if (this.#flight !== undefined) events.lookup('join');
    else {
      events.lookup('miss');
      const waitMs = this.#retryInMs();
      if (this.#failure && waitMs > 0) throw withRetryAfter(this.#failure.error, waitMs);
    }
    return this.#wait();
  }

  /**
   * For an upstream that refused `stale`: the current token if that is another one by now, else a newly fetched one;
   * undefined when `stale` is so new that fetching again cannot help. Throws like `get`.
   */
  renew(stale: Token): Token | Promise<Token> | undefined {
    if (this.#token === stale) {
      if (elapsedSince(stale.since, this.#options.clock.now()) < MIN_INTERVAL_MS) return undefined;
      this.#token = undefined;
    }
    return this.get();
  }

  /** Drops the token and fetches another now, whatever the back-off says. */
  refresh(): Promise<Token> {
    this.#token = undefined;
    this.#failure = undefined;
    // One that is under way counts as this one.
    if (this.#flight === undefined) this.#lastStart = undefined;
    return this.#fly().then(unwrap);
  }

  snapshot(): TokenSnapshot {
    const failure = this.#failure;
    return {
      key: this.key,
      state: this.#token === undefined ? 'none' : this.#phase(),
      expiresAt: this.#token?.expiresAt,
      refreshAt: this.#dueAt,
      lastSuccessAt: this.#lastSuccessAt,
      lastError: failure && { code: failure.error.code, result: failure.result, at: failure.at },
      consecutiveFailures: this.#failures,
      generation: this.#generation,
    };
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer?.();
  }

  #wait(): Promise<Token> {
    const token = this.#waiters.wait();
    void this.#fly();
    return token;
  }

  #phase(): Phase {
    if (this.#token === undefined) return 'expired';
    const phase = phaseOf(this.#token, this.#options.clock.now());
    return phase === 'fresh' && this.#token === this.#options.seed ? 'early' : phase;
  }

  #retryInMs(): number {
    return Math.max(0, (this.#failure?.retryAtMs ?? 0) - this.#options.clock.now().monotonicMs);
  }

  #pauseMs(): number {
    return this.#lastStart
      ? Math.max(0, MIN_INTERVAL_MS - elapsedSince(this.#lastStart, this.#options.clock.now()))
      : 0;
  }

  /** Whether a fetch that nobody waits for may start now. */
  #mayFlyBehind(): boolean {
    return this.#retryInMs() === 0 && this.#pauseMs() === 0;
  }

  /** Starts or joins the one flight. It never rejects, so a flight nobody waits for needs no handler. */
  #fly(): Promise<Outcome> {
    this.#flight ??= this.#land().then((outcome) => {
      // One after the other at once: who joins a flight is served by it.
      this.#flight = undefined;
      if ('token' in outcome) this.#waiters.serve(outcome.token);
      else this.#waiters.fail(outcome.error);
      this.#schedule();
      return outcome;
    });
    return this.#flight;
  }

  async #land(): Promise<Outcome> {
    const { clock, events, random, refreshBeforeMs, fetchToken } = this.#options;
    const pauseMs = this.#pauseMs();
    if (pauseMs > 0) await new Promise<void>((resolve) => void clock.startTimer(pauseMs, resolve));
    const since = clock.now();
    this.#lastStart = since;
    const response = await fetchToken();
    if (response.kind !== 'token') return this.#fail(response);
    const { authorization, lifetimeS } = response;
    const lifespan = planLifespan(since, lifetimeS, { refreshBeforeMs, random: random() });
    // The machine may have slept while the response was on its way.
    if (phaseOf(lifespan, clock.now()) === 'expired')
      return this.#fail({ kind: 'unavailable', result: 'expired_on_arrival' });
    const token: Token = { ...lifespan, authorization, expiresAt: since.wallMs + lifetimeS * 1000 };
    this.#token = token;
    this.#generation += 1;
    this.#failure = undefined;
    this.#failures = 0;
    this.#lastSuccessAt = clock.now().wallMs;
    events.obtained(token, response.assumedLifetime);
    return { token };
  }

  #fail(response: Exclude<TokenResponse, { kind: 'token' }>): Outcome {
    const { clock, events, random } = this.#options;
    this.#failures += 1;
    const asked = response.kind === 'unavailable' ? (response.retryAfterS ?? 0) * 1000 : 0;
    const own = response.kind === 'rejected' ? rejectionBackoffMs(random()) : backoffMs(this.#failures, random());
    const waitMs = Math.max(asked, own);
    const error = new SidecarError(response.kind === 'rejected' ? 'CREDENTIALS_REJECTED' : 'TOKEN_UNAVAILABLE', {
      retryAfterS: waitMs / 1000,
      fields: { credential: this.key.credential, result: response.result },
    });
    const now = clock.now();
    this.#failure = { error, result: response.result, at: now.wallMs, retryAtMs: now.monotonicMs + waitMs };
    events.failed(error, waitMs);
    return { error };
  }

  /** Looks again when the token turns early or the back-off ends, with or without callers. */
  #schedule(): void {
    this.#cancelTimer?.();
    if (this.#closed) return;
    const { clock } = this.#options;
    const token = this.#phase() === 'fresh' ? this.#token : undefined;
    const dueMs = token ? token.refreshAfterMs - elapsedSince(token.since, clock.now()) : 0;
    const delayMs = Math.ceil(Math.max(dueMs, this.#retryInMs(), this.#pauseMs(), 1));
    this.#dueAt = clock.now().wallMs + delayMs;
    this.#cancelTimer = clock.startTimer(Math.min(MAX_TIMER_MS, delayMs), () => this.#wake());
  }

  #wake(): void {
    if (this.#flight !== undefined) return;
    if (this.#phase() !== 'fresh' && this.#mayFlyBehind()) void this.#fly();
    else this.#schedule();
  }
}

function unwrap(outcome: Outcome): Token {
  if ('error' in outcome) throw outcome.error;
  return outcome.token;
}

function withRetryAfter(error: SidecarError, waitMs: number): SidecarError {
  return new SidecarError(error.code, { ...error.extras, retryAfterS: waitMs / 1000 });
}

/** By both clocks at once. */
export function phaseOf(lifespan: Lifespan, now: Instant): Phase {
  const age = elapsedSince(lifespan.since, now);
  if (age >= lifespan.usableForMs) return 'expired';
  return age >= lifespan.refreshAfterMs ? 'early' : 'fresh';
}
