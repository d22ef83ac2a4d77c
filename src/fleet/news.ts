/** News of one token from other members, and the wait for them. */
import { type Clock, elapsedSince } from '../core/clock.ts';

/** However many news there are, a member that waits for them looks no more often. */
const LEAST_WAIT_MS = 20;

export class News {
  readonly #clock: Clock;
  /** So far: some may come in the same packet as the reply that says to wait for them. */
  #heard = 0;
  #wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Pass it to `wait`: what comes from now on ends that at once. */
  get heard(): number {
    return this.#heard;
  }

  came(): void {
    this.#heard += 1;
    this.#wake?.();
  }

  /** Resolves when there are news, at the latest after `ms`, and not before 20 ms. @param heard before the last look */
  async wait(ms: number, heard: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#clock.startTimer(Math.max(LEAST_WAIT_MS, ms), resolve);
    const from = this.#clock.now();
    this.#wake = resolve;
    if (heard !== this.#heard) resolve();
    await promise;
    this.#wake = undefined;
    cancel();
    const pauseMs = LEAST_WAIT_MS - elapsedSince(from, this.#clock.now());
    if (pauseMs > 0) await new Promise<void>((done) => void this.#clock.startTimer(pauseMs, done));
  }
}
