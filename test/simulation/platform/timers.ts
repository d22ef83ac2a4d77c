/** Node's timer objects, on virtual time. */
import { platform, self } from './platform.ts';
import type { SimulatedProcess } from './process.ts';
import type { Event } from './virtual-time.ts';

const LONGEST_MS = 2 ** 31 - 1;

class VirtualTimer {
  readonly #run: () => void;
  readonly #ms: number;
  readonly #repeats: boolean;
  readonly #owner: SimulatedProcess;
  #event: Event | undefined;
  #hasRef = true;

  constructor(run: () => void, ms: number, repeats: boolean) {
    this.#run = run;
    this.#ms = ms;
    this.#repeats = repeats;
    this.#owner = self();
    this.#start();
  }

  #start(): void {
    this.#event = platform().time.after(this.#ms, this.#owner, () => {
      this.#event = undefined;
      this.#run();
      if (this.#repeats && !this.#isClosed && this.#event === undefined) this.#start();
    });
  }

  #isClosed = false;

  close(): this {
    this.#isClosed = true;
    if (this.#event) platform().time.cancel(this.#event);
    this.#event = undefined;
    return this;
  }

  refresh(): this {
    if (this.#isClosed) return this;
    if (this.#event) platform().time.cancel(this.#event);
    this.#start();
    return this;
  }

  ref(): this {
    this.#hasRef = true;
    return this;
  }

  unref(): this {
    this.#hasRef = false;
    return this;
  }

  hasRef(): boolean {
    return this.#hasRef;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** As `setTimeout` and `setInterval` of Node: less than 1 ms and more than 2^31 ms are 1 ms. */
export function startTimer(run: () => void, ms: unknown, repeats: boolean): VirtualTimer {
  const delay = Math.trunc(Number(ms));
  return new VirtualTimer(run, delay >= 1 && delay <= LONGEST_MS ? delay : 1, repeats);
}

export function clearTimer(timer: unknown): void {
  if (timer instanceof VirtualTimer) timer.close();
}
