/**
 * One kept token: at most one fetch under way however many ask, refreshed behind the callers' backs while still valid,
 * in use until it expires however long the identity server is away, never handed out after that.
 */

import { type Clock, elapsedSince, type Instant } from '../core/clock.ts';
import { SidecarError } from '../core/errors.ts';
import { type Lifespan, planLifespan } from './refresh-policy.ts';
import { RequestPace } from './request-pace.ts';
import type { Phase, Token, TokenEvents, TokenKey, TokenSnapshot } from './token.ts';
import type { TokenResponse } from './token-response.ts';
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
  /** Epoch ms; `since` of the first in a row. */
  readonly at: number;
  readonly since: number;
}

/** Timers past 2^31 ms fire at once; a source looks again at least this often instead. */
const MAX_TIMER_MS = 3_600_000;

export class TokenSource {
  readonly key: TokenKey;
  readonly #options: SourceOptions;
  readonly #waiters: Waiters;
  readonly #pace: RequestPace;
  #token: Token | undefined;
  #flight: Promise<Outcome> | undefined;
  #failure: Failure | undefined;
  #lastSuccessAt: number | undefined;
  #generation = 0;
  #closed = false;
  #cancelTimer: (() => void) | undefined;
  #dueAt: number | undefined;

  /** Starts fetching at once. */
  constructor(key: TokenKey, options: SourceOptions) {
    this.key = key;
    this.#options = options;
    const { waitMs, clock } = options;
    const lastFailure = () => this.#failure?.error.extras.failure;
    this.#waiters = new Waiters({ credential: key.credential, waitMs, clock, lastFailure });
    this.#pace = new RequestPace(options);
    this.#token = options.seed;
    this.#lastSuccessAt = options.seed?.since.wallMs;
    void this.#fly();
  }

  /** What a source that takes over from this one can start with. */
  get token(): Token | undefined {
    return this.#token;
  }

  /**
   * The token to send now; a promise only where there is none. It waits for the request under way and, while the identity
   * server is in trouble, for each further try that begins before the caller's time is up.
   * @throws SidecarError TOKEN_UNAVAILABLE | CREDENTIALS_REJECTED with `retryAfterS`, thrown or as rejection
   */
  get(): Token | Promise<Token> {
    const phase = this.#phase();
    if (this.#token === undefined || phase === 'expired') return this.#wait(false);
    this.#options.events.lookup(phase === 'fresh' ? 'hit' : 'early');
    if (phase === 'early' && this.#mayFlyBehind()) void this.#fly();
    return this.#token;
  }

  /** Like `get`, for whoever ends when this try fails: waits for no other. Rejects like `get`. */
  async getOnce(): Promise<Token> {
    if (this.#phase() !== 'expired') return this.get();
    const retryInMs = this.#flight === undefined ? this.#pace.retryInMs(true) : 0;
    if (this.#failure && retryInMs > 0) throw withRetryAfter(this.#failure.error, retryInMs);
    return this.#fly().then(unwrap);
  }

  /**
   * For an upstream that refused `stale`: the current token if that is another one by now, else a newly fetched one. The
   * first such fetch starts at once, however young `stale` is; those after it a second apart. Throws like `get`.
   */
  renew(stale: Token): Token | Promise<Token> {
    if (this.#token !== stale) return this.get();
    this.#token = undefined;
    return this.#wait(true);
  }

  /** Drops the token and fetches another now, whatever the back-off says. */
  refresh(): Promise<Token> {
    this.#token = undefined;
    this.#failure = undefined;
    // One that is under way counts as this one.
    if (this.#flight === undefined) this.#pace.hurry();
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
      lastError: failure && {
        ...{ code: failure.error.code, result: failure.result, at: failure.at, since: failure.since },
        failure: failure.error.extras.failure,
      },
      consecutiveFailures: this.#pace.failures,
      generation: this.#generation,
    };
  }

  /** Fetches no more; whoever waits is served by `close`, and told of the stop by `destroy`. */
  close(how: 'close' | 'destroy' = 'close'): void {
    this.#closed = true;
    if (how === 'destroy') this.#waiters.fail(new SidecarError('SIDECAR_STOPPED'), Number.POSITIVE_INFINITY);
    if (this.#waiters.count === 0) this.#cancelTimer?.();
  }

  #wait(isRenewal: boolean): Promise<Token> {
    const { events, waitMs } = this.#options;
    events.lookup(this.#flight === undefined ? 'miss' : 'join');
    const retryInMs = this.#flight === undefined ? this.#pace.retryInMs(true) : 0;
    if (this.#failure && retryInMs >= waitMs) throw withRetryAfter(this.#failure.error, retryInMs);
    const token = this.#waiters.wait();
    if (retryInMs === 0) void this.#fly(isRenewal);
    // For the others that wait the timer has been set.
    else if (this.#waiters.count === 1) this.#schedule();
    return token;
  }

  #phase(): Phase {
    if (this.#token === undefined) return 'expired';
    const phase = phaseOf(this.#token, this.#options.clock.now());
    return phase === 'fresh' && this.#token === this.#options.seed ? 'early' : phase;
  }

  /** Whether a fetch may start now that nobody asks for, or that those who wait will wait for. */
  #mayFlyBehind(): boolean {
    return this.#retryInMs() === 0 && this.#pace.pauseMs() === 0;
  }

  #retryInMs(): number {
    return this.#pace.retryInMs(this.#waiters.count > 0);
  }

  /** Starts or joins the one flight. It never rejects, so a flight nobody waits for needs no handler. */
  #fly(isRenewal = false): Promise<Outcome> {
    this.#flight ??= this.#land(isRenewal).then((outcome) => {
      // One after the other at once: who joins a flight is served by it.
      this.#flight = undefined;
      if ('token' in outcome) this.#waiters.serve(outcome.token);
      else this.#waiters.fail(outcome.error, this.#pace.retryInMs(true));
      this.#schedule();
      return outcome;
    });
    return this.#flight;
  }

  async #land(isRenewal: boolean): Promise<Outcome> {
    const { clock, events, random, refreshBeforeMs, fetchToken } = this.#options;
    const pauseMs = this.#pace.pauseMs(isRenewal);
    if (pauseMs > 0) await new Promise<void>((resolve) => void clock.startTimer(pauseMs, resolve));
    const since = this.#pace.start();
    const response = await fetchToken();
    if (response.kind !== 'token') return this.#fail(response);
    const { authorization, lifetimeS, roundedOffS = 0 } = response;
    const lifespan = planLifespan(since, lifetimeS - roundedOffS, { refreshBeforeMs, random: random() });
    // The machine may have slept while the response was on its way.
    if (phaseOf(lifespan, clock.now()) === 'expired')
      return this.#fail({ kind: 'unavailable', result: 'expired_on_arrival' });
    const token: Token = { ...lifespan, authorization, expiresAt: since.wallMs + lifetimeS * 1000 };
    this.#token = token;
    this.#generation += 1;
    this.#failure = undefined;
    this.#pace.succeed();
    this.#lastSuccessAt = clock.now().wallMs;
    events.obtained(token, response.assumedLifetime);
    return { token };
  }

  #fail(response: Exclude<TokenResponse, { kind: 'token' }>): Outcome {
    const { clock, events } = this.#options;
    this.#pace.fail(response);
    const error = new SidecarError(response.kind === 'rejected' ? 'CREDENTIALS_REJECTED' : 'TOKEN_UNAVAILABLE', {
      retryAfterS: this.#pace.retryInMs(true) / 1000,
      fields: { credential: this.key.credential, result: response.result },
      failure: response.failure,
    });
    const at = clock.now().wallMs;
    this.#failure = { error, result: response.result, at, since: this.#failure?.since ?? at };
    events.failed(error, this.#retryInMs(), this.#phase() === 'expired' ? undefined : this.#token?.expiresAt);
    return { error };
  }

  /** Looks again when the token turns early or the back-off ends, with or without callers. */
  #schedule(): void {
    this.#cancelTimer?.();
    // Whoever waits is served, even by a source that a reload has replaced.
    if (this.#closed && this.#waiters.count === 0) return;
    const { clock } = this.#options;
    const token = this.#phase() === 'fresh' ? this.#token : undefined;
    const dueMs = token ? token.refreshAfterMs - elapsedSince(token.since, clock.now()) : 0;
    const delayMs = Math.ceil(Math.max(dueMs, this.#retryInMs(), this.#pace.pauseMs(), 1));
    this.#dueAt = clock.now().wallMs + delayMs;
    this.#cancelTimer = clock.startTimer(Math.min(MAX_TIMER_MS, delayMs), () => this.#wake());
  }

  #wake(): void {
    if (this.#flight !== undefined || (this.#closed && this.#waiters.count === 0)) return;
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
