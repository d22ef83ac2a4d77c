/**
 * Tokens as a worker has them: copies of what the engine has, used while both clocks say that they are valid. The engine
 * renews them behind; it is asked only where there is none, once however many callers wait, or where an API refused one.
 */

import { type Clock, elapsedSince } from '../../core/clock.ts';
import { SidecarError } from '../../core/errors.ts';
import { Secret } from '../../core/secret.ts';
import { phaseOf } from '../../oauth/refresh-policy.ts';
import type { LookupResult, Token, TokenKey } from '../../oauth/token.ts';
import type { Reply, WireToken } from './protocol.ts';
import { reviveError } from './rpc.ts';

export interface RemoteTokensOptions {
  readonly key: TokenKey;
  readonly token: WireToken | undefined;
  /** Asks the engine for the token to use now; `refused` is the serial of one that an API did not accept. */
  readonly ask: (refused: number | undefined) => Promise<Reply>;
  /** For metrics; the first caller of those that wait for one answer is counted by the engine. */
  readonly onLookup: (result: LookupResult) => void;
  /** How long one caller waits, ms. */
  readonly waitMs: number;
  readonly clock: Clock;
}

interface Held extends Token {
  readonly serial: number;
}

interface Waiter {
  /** Its look-up is counted by the engine, which it made ask. */
  readonly first: boolean;
  readonly resolve: (token: Token) => void;
  readonly reject: (error: SidecarError) => void;
}

/** As for callers of one process. */
const MAX_WAITING = 20_000;
/** A token this new is not asked for again: see `TokenSource`. */
const MIN_INTERVAL_MS = 1000;

export class RemoteTokens {
  readonly key: TokenKey;
  readonly #options: RemoteTokensOptions;
  readonly #waiters = new Set<Waiter>();
  #token: Held | undefined;
  #asking = false;

  constructor(options: RemoteTokensOptions) {
    this.key = options.key;
    this.#options = options;
    this.accept(options.token);
  }

  /** See `TokenSource.get`. */
  get(): Token | Promise<Token> {
    const { clock, onLookup } = this.#options;
    if (this.#token) {
      const phase = phaseOf(this.#token, clock.now());
      if (phase !== 'expired') {
        onLookup(phase === 'fresh' ? 'hit' : 'early');
        return this.#token;
      }
    }
    return this.#wait(undefined);
  }

  /** See `TokenSource.renew`. */
  renew(stale: Token): Token | Promise<Token> | undefined {
    const token = this.#token;
    if (token === undefined || token !== stale) return this.get();
    if (elapsedSince(token.since, this.#options.clock.now()) < MIN_INTERVAL_MS) return undefined;
    this.#token = undefined;
    return this.#wait(token.serial);
  }

  /** What the engine has now; undefined = nothing that may be used. */
  accept(wire: WireToken | undefined): void {
    // An answer may have been overtaken.
    if (wire && this.#token && wire.serial <= this.#token.serial) return;
    this.#token = wire && this.#held(wire);
    if (this.#token) this.#serve(this.#token);
  }

  #held({ serial, authorization, sinceWallMs, ageMs, ...lifespan }: WireToken): Held {
    const { monotonicMs } = this.#options.clock.now();
    const since = { wallMs: sinceWallMs, monotonicMs: monotonicMs - ageMs };
    return { ...lifespan, serial, since, authorization: new Secret(authorization) };
  }

  /** Every caller has a deadline of its own; one that gives up leaves the answer to the others. */
  #wait(refused: number | undefined): Promise<Token> {
    const { clock, waitMs } = this.#options;
    if (this.#waiters.size >= MAX_WAITING) throw this.#unavailable('queue_full');
    const { promise, resolve, reject } = Promise.withResolvers<Token>();
    const waiter = { first: !this.#asking, resolve, reject };
    this.#waiters.add(waiter);
    const cancel = clock.startTimer(waitMs, () => this.#fail([waiter], this.#unavailable('wait_timeout'), 'join'));
    if (!this.#asking) void this.#ask(refused);
    return promise.finally(cancel);
  }

  async #ask(refused: number | undefined): Promise<void> {
    this.#asking = true;
    const response = await this.#options.ask(refused);
    this.#asking = false;
    if (response.ok) {
      this.accept(response.token);
      if (response.token) this.#serve(this.#held(response.token));
      return;
    }
    // The engine's patience counts from the first of them: the others have some left.
    if (response.error.fields?.['result'] === 'wait_timeout') {
      if (this.#waiters.size > 0) void this.#ask(undefined);
      return;
    }
    this.#fail([...this.#waiters], reviveError(response.error), response.waited ? 'join' : 'miss');
  }

  #serve(token: Token): void {
    for (const waiter of this.#waiters) {
      this.#waiters.delete(waiter);
      if (!waiter.first) this.#options.onLookup('join');
      waiter.resolve(token);
    }
  }

  #fail(waiters: readonly Waiter[], error: SidecarError, lookup: LookupResult): void {
    for (const waiter of waiters) {
      if (!this.#waiters.delete(waiter)) continue;
      if (!waiter.first) this.#options.onLookup(lookup);
      waiter.reject(error);
    }
  }

  #unavailable(result: string): SidecarError {
    return new SidecarError('TOKEN_UNAVAILABLE', {
      retryAfterS: 1,
      fields: { credential: this.key.credential, result },
    });
  }
}
