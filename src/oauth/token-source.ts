/**
 * One cached token. At most one fetch runs at a time, however many callers ask. The token is refreshed in the background
 * while it is valid, stays in use until it expires even when the identity server is down, and is never used after that.
 */
import { elapsedSince, type Instant } from '../core/clock.ts';
import { SidecarError } from '../core/errors.ts';
import { type Phase, phaseOf, planLifespan } from './refresh-policy.ts';
import { RequestPace } from './request-pace.ts';
import type { Token, TokenKey, TokenSnapshot } from './token.ts';
import { type FailedFetch, isStill, type ObtainedToken, type SourceOptions } from './token.ts';
import type { TokenResponse } from './token-response.ts';
import { type Outcome, unwrap, Waiters, withRetryAfter } from './waiters.ts';

/** Timers longer than 2^31 ms fire at once, so long waits are split into steps of this length. */
const MAX_TIMER_MS = 3_600_000;
/** Enough to connect, also through a proxy; servers end a connection without a request after five seconds or later. */
const PREPARE_MS = 3000;

/** Fetches and refreshes the token for one key. */
export class TokenSource {
  readonly key: TokenKey;
  readonly #options: SourceOptions;
  readonly #waiters: Waiters;
  readonly #pace: RequestPace;
  #token: Token | undefined;
  /** Of no use to an upstream or an operator; until there is a new one. */
  #refused: Token | undefined;
  #flight: Promise<Outcome> | undefined;
  #failure: FailedFetch | undefined;
  #lastSuccessAt: number | undefined;
  #generation = 0;
  #closed = false;
  #cancelTimer: (() => void) | undefined;
  #dueAt: number | undefined;

  /** Starts the first fetch at once. */
  constructor(key: TokenKey, options: SourceOptions) {
    this.key = key;
    this.#options = options;
    const lastFailure = () => this.#failure?.error.extras.failure;
    const onNone = () => this.#closed && this.#cancelTimer?.();
    this.#waiters = new Waiters({ ...options, credential: key.credential, lastFailure, onNone });
    this.#pace = new RequestPace(options);
    this.#token = options.seed;
    this.#lastSuccessAt = options.seed?.since.wallMs;
    void this.#fetchShared();
  }

  /** The current token, as the seed of a source that replaces this one. */
  get token(): Token | undefined {
    return this.#token;
  }

  /**
   * Returns the token to send now; a promise only when there is none. The promise waits for the running request and for
   * every retry that starts within the caller's waiting time.
   * @throws SidecarError TOKEN_UNAVAILABLE | CREDENTIALS_REJECTED with `retryAfterS`, thrown or as a rejection
   */
  get(): Token | Promise<Token> {
    const phase = this.#phase();
    if (this.#token === undefined || phase === 'expired') return this.#wait(false);
    this.#options.events.lookup(phase === 'fresh' ? 'hit' : 'early');
    if (phase === 'early' && this.#mayFetchNow()) void this.#fetchShared();
    return this.#token;
  }

  /** Whether a token of `get` has ended meanwhile: a request may wait before it is sent. */
  isOver(token: Token): boolean {
    return elapsedSince(token.since, this.#options.clock.now()) >= token.usableForMs;
  }

  /** Like `get`, but rejects when the current try fails instead of waiting for a retry. */
  async getOnce(): Promise<Token> {
    if (this.#phase() !== 'expired') return this.get();
    const retryInMs = this.#flight === undefined ? this.#pace.retryInMs(true) : 0;
    if (this.#failure && retryInMs > 0) throw withRetryAfter(this.#failure.error, retryInMs);
    return this.#fetchShared().then(unwrap);
  }

  /**
   * For an upstream that refused `stale`: returns the current token if it is already a different one, else fetches a new
   * one. The first fetch starts at once, later ones are at least one second apart. Throws like `get`.
   */
  renew(stale: Token): Token | Promise<Token> {
    if (!isStill(stale, this.#token)) return this.get();
    this.#refuse(stale);
    this.#token = undefined;
    return this.#wait(true);
  }

  /** Like `renew`, but nobody waits: `stale` stays in use until there is a new token. Fetches only if allowed now. */
  renewLater(stale: Token): void {
    if (this.#closed || !isStill(stale, this.#token) || this.#retryInMs() > 0 || this.#pace.pauseMs(true) > 0) return;
    this.#refuse(stale);
    void this.#fetchShared(true);
  }

  /** Drops the token and fetches a new one now; ignores the back-off. Rejects like `get`. */
  refresh(): Promise<Token> {
    if (this.#token) this.#refuse(this.#token);
    this.#token = undefined;
    this.#failure = undefined;
    // A running fetch is joined.
    if (this.#flight === undefined) this.#pace.hurry();
    return this.#fetchShared().then(unwrap);
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

  /** Ends fetching. `close` still serves waiting callers; `destroy` rejects them with SIDECAR_STOPPED. */
  close(how: 'close' | 'destroy' = 'close'): void {
    this.#closed = true;
    if (how === 'destroy') this.#waiters.fail(new SidecarError('SIDECAR_STOPPED'), Number.POSITIVE_INFINITY);
    if (this.#waiters.count === 0) this.#cancelTimer?.();
  }

  #refuse(token: Token): void {
    this.#refused = token;
    this.#options.onRefused?.(token);
  }

  #wait(isRenewal: boolean): Promise<Token> {
    const { events, waitMs } = this.#options;
    events.lookup(this.#flight === undefined ? 'miss' : 'join');
    const retryInMs = this.#flight === undefined ? this.#pace.retryInMs(true) : 0;
    if (this.#failure && retryInMs >= waitMs) throw withRetryAfter(this.#failure.error, retryInMs);
    const token = this.#waiters.wait();
    if (retryInMs === 0) void this.#fetchShared(isRenewal);
    // The first waiting caller sets the timer for all.
    else if (this.#waiters.count === 1) this.#schedule();
    return token;
  }

  #phase(): Phase {
    if (this.#token === undefined) return 'expired';
    const isFresh = elapsedSince(this.#token.since, this.#options.clock.now()) < this.#token.refreshAfterMs;
    if (isFresh) return this.#token === this.#options.seed ? 'early' : 'fresh';
    return phaseOf(this.#token, this.#options.clock.now());
  }

  /** Whether the back-off and the pace allow a fetch in the background now. */
  #mayFetchNow(): boolean {
    return this.#retryInMs() === 0 && this.#pace.pauseMs() === 0;
  }

  #retryInMs(): number {
    return this.#pace.retryInMs(this.#waiters.count > 0);
  }

  /** Starts or joins the one running fetch. Never rejects, so a fetch without waiting callers needs no handler. */
  #fetchShared(isRenewal = false): Promise<Outcome> {
    this.#flight ??= this.#fetch(isRenewal).then((outcome) => {
      // No await between these steps: a caller that joins the fetch gets its result.
      this.#flight = undefined;
      if ('token' in outcome) this.#waiters.serve(outcome.token);
      else this.#waiters.fail(outcome.error, this.#pace.retryInMs(true));
      this.#schedule();
      return outcome;
    });
    return this.#flight;
  }

  async #fetch(isRenewal: boolean): Promise<Outcome> {
    const { fetchToken, seed } = this.#options;
    if (this.#pace.pauseMs(isRenewal) > 0) await this.#pace.pause(isRenewal);
    // Meanwhile another member's may have come in place of the refused one.
    if (isRenewal && !this.#refused && this.#token && this.#phase() !== 'expired') return { token: this.#token };
    const since = this.#pace.start();
    // After a reload, the token from before is as good as any.
    const old = this.#refused ?? (this.#token === seed ? undefined : this.#token);
    const replaced = old && { authorization: old.authorization, isRefused: old === this.#refused };
    const response = await fetchToken(() => this.#waiters.untilAny(), replaced);
    if (response.kind !== 'token') return this.#fail(response);
    return this.#keep(response, since) ?? this.#fail({ kind: 'unavailable', result: 'expired_on_arrival' });
  }

  /** @returns undefined for one that is too old: the machine may have been suspended while it was on its way */
  #keep(response: ObtainedToken, asked: Instant): { token: Token } | undefined {
    const { clock, events, random, refreshBeforeMs } = this.#options;
    const { authorization, lifetimeS, roundedOffS = 0, since = asked, passedS, isShared = false } = response;
    const lifespan = planLifespan(since, lifetimeS - roundedOffS, { refreshBeforeMs, random: random(), passedS });
    if (phaseOf(lifespan, clock.now()) === 'expired') return undefined;
    const token = { ...lifespan, authorization, expiresAt: since.wallMs + lifetimeS * 1000, isShared };
    this.#token = token;
    this.#refused = undefined;
    this.#generation += 1;
    this.#failure = undefined;
    this.#pace.succeed();
    this.#lastSuccessAt = clock.now().wallMs;
    events.obtained(token, response.assumedLifetime);
    return { token };
  }

  /** Uses a token that another sidecar has fetched. */
  take(newer: ObtainedToken): void {
    const kept = this.#keep(newer, this.#options.clock.now());
    if (kept) this.#waiters.serve(kept.token);
    if (kept && this.#flight === undefined) this.#schedule();
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

  /** Sets the timer for the next refresh, first for its connection, or the end of the back-off. */
  #schedule(): void {
    this.#cancelTimer?.();
    // Waiting callers get a token even after a reload has replaced this source.
    if (this.#closed && this.#waiters.count === 0) return;
    const { clock, prepare } = this.#options;
    const token = this.#phase() === 'fresh' ? this.#token : undefined;
    const dueMs = token ? token.refreshAfterMs - elapsedSince(token.since, clock.now()) : 0;
    const delayMs = Math.ceil(Math.max(dueMs, this.#retryInMs(), this.#pace.pauseMs(), 1));
    this.#dueAt = clock.now().wallMs + delayMs;
    const earlyMs = token ? delayMs - PREPARE_MS : 0;
    if (token && earlyMs <= 0) prepare?.();
    this.#cancelTimer = clock.startTimer(Math.min(MAX_TIMER_MS, earlyMs > 0 ? earlyMs : delayMs), () => this.#wake());
  }

  #wake(): void {
    if (this.#flight !== undefined || (this.#closed && this.#waiters.count === 0)) return;
    if (this.#phase() !== 'fresh' && this.#mayFetchNow()) void this.#fetchShared();
    else this.#schedule();
  }
}
