/** What can be wrong with a server, and for how long: each fault ends by itself, or when everything is repaired. */
import type { Listening } from '../platform/network.ts';
import type { Request } from './http.ts';
import type { Kind, World } from './world.ts';

export interface ServerError {
  readonly status: number;
  readonly retryAfterS?: number;
}

const MINUTE = 60_000;
/** From a blink to days: most outages are short. */
const DURATIONS: readonly [number, ...number[]] = [
  500,
  5000,
  20_000,
  2 * MINUTE,
  10 * MINUTE,
  3 * 3600_000,
  2 * 86_400_000,
];

export class Fault {
  /** When it was last repaired, true ms; Infinity while something is wrong. */
  wellSince = Number.NEGATIVE_INFINITY;
  readonly #world: World;
  readonly #address: string;
  readonly #listening: Listening;
  #stopListening: () => void;
  #delayMs = 0;
  #error: ServerError | undefined;
  #isSilent = false;
  #isDown = false;
  #repairs = 0;

  constructor(world: World, address: string, listening: Listening) {
    this.#world = world;
    this.#address = address;
    this.#listening = listening;
    this.#stopListening = this.#network.listen(address, listening);
  }

  get #network() {
    return this.#world.platform.network;
  }

  /** Calls `go` as the server is able to: late, with the error to respond with, or never. */
  meet(request: Request, go: (error?: ServerError) => void): void {
    if (this.#isDown) request.reset();
    if (this.#isDown || this.#isSilent) return;
    const { time } = this.#world.platform;
    // It does not notice that its client has given up.
    const act = () => go(this.#error);
    if (this.#delayMs > 0) time.after(this.#delayMs, this.#listening.owner, act);
    else act();
  }

  down(ms: number): void {
    this.#isDown = true;
    this.#stopListening();
    this.#endAfter(ms);
  }

  slow(ms: number, delayMs: number): void {
    this.#delayMs = delayMs;
    this.#endAfter(ms);
  }

  silent(ms: number): void {
    this.#isSilent = true;
    this.#endAfter(ms);
  }

  failing(ms: number, error: ServerError): void {
    this.#error = error;
    this.#endAfter(ms);
  }

  unreachable(ms: number): void {
    this.#network.block(this.#address);
    this.#endAfter(ms);
  }

  far(ms: number, latencyMs: number): void {
    this.#network.link(this.#address).latencyMs = latencyMs;
    this.#endAfter(ms);
  }

  /** Everything works again. */
  repair(): void {
    this.#repairs += 1;
    this.wellSince = this.#world.platform.time.nowMs;
    this.#delayMs = 0;
    this.#error = undefined;
    this.#isSilent = false;
    this.#isDown = false;
    this.#stopListening();
    this.#stopListening = this.#network.listen(this.#address, this.#listening);
    this.#network.link(this.#address).latencyMs = 2;
    this.#network.unblock(this.#address);
  }

  #endAfter(ms: number): void {
    const repairs = this.#repairs;
    this.wellSince = Number.POSITIVE_INFINITY;
    const { time } = this.#world.platform;
    time.after(ms, time.kernel, () => {
      if (repairs !== this.#repairs) return;
      this.#world.trace(this.#address, 'works again');
      this.repair();
    });
  }

  /** The events of such a server. */
  static kinds(name: string, of: (world: World) => Fault): Record<string, Kind> {
    const kind = (
      weight: number,
      more: Kind['draw'],
      apply: (fault: Fault, args: Record<string, number>) => void,
    ): Kind => ({
      ...{ weight, isElsewhere: true },
      draw: (chance) => ({ ms: chance.pick(DURATIONS), ...more(chance) }),
      apply: (world, args) => apply(of(world), args as Record<string, number>),
    });
    const num = (args: Record<string, number>, key: string) => args[key] ?? 0;
    return {
      [`${name}.down`]: kind(
        3,
        () => ({}),
        (fault, args) => fault.down(num(args, 'ms')),
      ),
      [`${name}.silent`]: kind(
        2,
        () => ({}),
        (fault, args) => fault.silent(num(args, 'ms')),
      ),
      [`${name}.unreachable`]: kind(
        2,
        () => ({}),
        (fault, args) => fault.unreachable(num(args, 'ms')),
      ),
      [`${name}.slow`]: kind(
        2,
        (chance) => ({ delayMs: chance.pick([300, 2000, 4900, 5100, 20_000, 59_000]) }),
        (fault, args) => fault.slow(num(args, 'ms'), num(args, 'delayMs')),
      ),
      [`${name}.far`]: kind(
        1,
        (chance) => ({ latencyMs: chance.pick([50, 400, 1500, 2600]) }),
        (fault, args) => fault.far(num(args, 'ms'), num(args, 'latencyMs')),
      ),
      [`${name}.failing`]: kind(
        2,
        (chance) => {
          const status = chance.pick([500, 503, 429]);
          return status === 500 ? { status } : { status, retryAfterS: chance.pick([1, 30, 120, 3600]) };
        },
        (fault, args) => fault.failing(num(args, 'ms'), args as unknown as ServerError),
      ),
    };
  }
}
