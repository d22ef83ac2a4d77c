/**
 * Callers that wait for one token: a bounded number, each with a deadline of its own. One that gives up leaves what is
 * under way to the others.
 */
import type { Clock } from '../core/clock.ts';
import { SidecarError } from '../core/errors.ts';
import type { Token } from './token.ts';

/** More callers than this do not wait for one token; each costs memory and a connection. */
const MAX_WAITING = 20_000;

export interface WaitersOptions {
  /** Whose tokens they wait for, for the error. */
  readonly credential: string;
  /** How long one caller waits, ms. */
  readonly waitMs: number;
  readonly clock: Clock;
}

interface Waiter {
  readonly resolve: (token: Token) => void;
  readonly reject: (error: SidecarError) => void;
  readonly cancel: () => void;
}

export class Waiters {
  readonly #options: WaitersOptions;
  #waiting = new Set<Waiter>();

  constructor(options: WaitersOptions) {
    this.#options = options;
  }

  /** @throws SidecarError TOKEN_UNAVAILABLE, at once when too many wait, as rejection when the time is up */
  wait(): Promise<Token> {
    if (this.#waiting.size >= MAX_WAITING) throw this.#unavailable('queue_full');
    const { promise, resolve, reject } = Promise.withResolvers<Token>();
    const giveUp = () => {
      this.#waiting.delete(waiter);
      reject(this.#unavailable('wait_timeout'));
    };
    const cancel = this.#options.clock.startTimer(this.#options.waitMs, giveUp);
    const waiter = { resolve, reject, cancel };
    this.#waiting.add(waiter);
    return promise;
  }

  serve(token: Token): void {
    this.#end(({ resolve }) => resolve(token));
  }

  fail(error: SidecarError): void {
    this.#end(({ reject }) => reject(error));
  }

  #end(settle: (waiter: Waiter) => void): void {
    if (this.#waiting.size === 0) return;
    const all = this.#waiting;
    this.#waiting = new Set();
    for (const waiter of all) {
      waiter.cancel();
      settle(waiter);
    }
  }

  #unavailable(result: string): SidecarError {
    return new SidecarError('TOKEN_UNAVAILABLE', {
      retryAfterS: 1,
      fields: { credential: this.#options.credential, result },
    });
  }
}
