/**
 * Callers that wait for one token: a bounded number, each with its own time limit. A caller that gives up does not stop the
 * running request.
 */
import type { Clock } from '../core/clock.ts';
import { SidecarError } from '../core/errors.ts';
import type { Failure } from '../core/failure.ts';
import type { Token } from './token.ts';

/** At most this many callers wait for one token: each costs memory and a connection. */
const MAX_WAITING = 20_000;

export interface WaitersOptions {
  /** Name of the credential, for the error. */
  readonly credential: string;
  /** How long one caller waits, ms. */
  readonly waitMs: number;
  readonly clock: Clock;
  /** Failure of the last try, for callers whose time ends before the next try does. */
  readonly lastFailure?: () => Failure | undefined;
  /** Called when the last one has given up. */
  readonly onNone?: () => void;
}

interface Waiter {
  /** Monotonic ms. */
  readonly untilMs: number;
  readonly resolve: (token: Token) => void;
  readonly reject: (error: SidecarError) => void;
  readonly cancel: () => void;
}

/** The waiting callers of one token source. */
export class Waiters {
  readonly #options: WaitersOptions;
  readonly #waiting = new Set<Waiter>();
  /** Called when the next caller waits. */
  readonly #onWaiting: (() => void)[] = [];

  constructor(options: WaitersOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#waiting.size;
  }

  /**
   * Waits for `serve` or `fail`.
   * @throws SidecarError TOKEN_UNAVAILABLE: at once when too many callers wait, as a rejection when the time is up
   */
  wait(): Promise<Token> {
    if (this.#waiting.size >= MAX_WAITING) throw this.#unavailable('queue_full');
    const { promise, resolve, reject } = Promise.withResolvers<Token>();
    const giveUp = () => {
      this.#waiting.delete(waiter);
      reject(this.#unavailable('wait_timeout'));
      if (this.#waiting.size === 0) this.#options.onNone?.();
    };
    const { clock, waitMs } = this.#options;
    const cancel = clock.startTimer(waitMs, giveUp);
    const waiter = { resolve, reject, cancel, untilMs: clock.now().monotonicMs + waitMs };
    this.#waiting.add(waiter);
    for (const tell of this.#onWaiting.splice(0)) tell();
    return promise;
  }

  /** Resolves when at least one caller waits. */
  untilAny(): Promise<void> {
    return this.count > 0 ? Promise.resolve() : new Promise((resolve) => this.#onWaiting.push(resolve));
  }

  serve(token: Token): void {
    for (const waiter of this.#leave(Number.POSITIVE_INFINITY)) waiter.resolve(token);
  }

  /** Rejects callers whose time ends before the next try, `retryInMs` from now; the others continue to wait. */
  fail(error: SidecarError, retryInMs: number): void {
    const nextMs = this.#options.clock.now().monotonicMs + retryInMs;
    for (const waiter of this.#leave(nextMs)) waiter.reject(error);
  }

  /** Removes the callers that wait until then at most. All wait equally long, so they are sorted. */
  #leave(untilMs: number): Waiter[] {
    const leaving: Waiter[] = [];
    for (const waiter of this.#waiting) {
      if (waiter.untilMs > untilMs) break;
      leaving.push(waiter);
      waiter.cancel();
      this.#waiting.delete(waiter);
    }
    return leaving;
  }

  #unavailable(result: string): SidecarError {
    return new SidecarError('TOKEN_UNAVAILABLE', {
      retryAfterS: 1,
      fields: { credential: this.#options.credential, result },
      failure: this.#options.lastFailure?.(),
    });
  }
}

/** Returns the error with the time after which a caller may try again. */
export function withRetryAfter(error: SidecarError, waitMs: number): SidecarError {
  return new SidecarError(error.code, { ...error.extras, retryAfterS: waitMs / 1000 });
}

/** Of one fetch, for all that wait for it. */
export type Outcome = { readonly token: Token } | { readonly error: SidecarError };

/** @throws SidecarError that of the outcome */
export function unwrap(outcome: Outcome): Token {
  if ('error' in outcome) throw outcome.error;
  return outcome.token;
}
