/** The budgets of a fleet: `requestsPerMinute` of callers and routes, each counted for all members together through the store. */
import { LRUCache } from 'lru-cache';
import type { Clock } from '../core/clock.ts';
import { type Begun, Budget } from './budget.ts';
import type { FleetAccess } from './members.ts';
import { memberKeys } from './scripts.ts';

export interface FleetBudgetsOptions extends Pick<FleetAccess, 'prefix' | 'channel' | 'sealer' | 'member' | 'run'> {
  readonly clock: Clock;
  /** Live members at the last heartbeat; undefined before the first. */
  readonly members: () => number | undefined;
}

/** Names can come from certificates; as many as the counters of a sidecar keep. */
const MAX_BUDGETS = 4096;
const MINUTE_MS = 60_000;
/** One lost command costs a second. */
const BLIP_MS = 2000;
const NEWS = 'budget ';
/** Some thousand messages are kept, and others than members may write them. */
const MAX_NEWS = 64;

export class FleetBudgets {
  readonly #options: FleetBudgetsOptions;
  readonly #budgets = new LRUCache<string, Budget>({ max: MAX_BUDGETS, dispose: (budget) => budget.close() });
  /** When the fleet had used a budget up, monotonic, by its name in the store. */
  readonly #tight = new LRUCache<string, number>({ max: MAX_BUDGETS });
  /** The most members seen within a minute: a store that was emptied knows few. */
  #most: { readonly count: number; readonly atMs: number } | undefined;
  #statements = 0;
  /** Monotonic. */
  #awaySinceMs: number | undefined;
  /** After the last time for longer than a moment: others may not be back yet, and have begun what the store does not know. */
  #backAtMs: number | undefined;

  constructor(options: FleetBudgetsOptions) {
    this.#options = options;
  }

  /** Seconds until this member may begin one more request of the owner; 0 = now. Never throws, never waits. */
  secondsUntilFree(owner: string, limit: number, begun: Begun): number {
    const known = this.#budgets.get(owner) ?? this.#open(owner);
    return known.secondsUntilFree(limit, begun);
  }

  /** Call for each request that is begun, at once after `secondsUntilFree` has returned 0. */
  take(owner: string): void {
    this.#budgets.get(owner)?.take();
  }

  /** Takes a message on the channel of the fleet. */
  onNews(message: string): void {
    if (message.startsWith(NEWS) && message.length <= MAX_NEWS)
      this.#tight.set(message.slice(NEWS.length), this.#nowMs);
  }

  /** Call when the store becomes usable, or unusable. */
  onStore(isUsable: boolean): void {
    if (!isUsable) {
      this.#awaySinceMs ??= this.#nowMs;
      return;
    }
    if (this.#awaySinceMs !== undefined && this.#nowMs - this.#awaySinceMs > BLIP_MS) this.#backAtMs = this.#nowMs;
    this.#awaySinceMs = undefined;
    for (const budget of this.#budgets.values()) budget.restate();
  }

  close(): void {
    this.#budgets.clear();
  }

  #open(owner: string): Budget {
    const { prefix, channel, sealer, member, clock, run } = this.#options;
    const name = sealer.name(['budget', prefix, owner]);
    // Beside the members, so that one script sees both.
    const [times = '', , since = ''] = memberKeys(prefix);
    const key = `${prefix}:{members}:budget:${name}`;
    const budget = new Budget({
      clock,
      members: () => this.#see(this.#options.members() ?? 0),
      isTight: () => this.#isRecent(this.#tight.get(name)),
      run: async (args) => {
        this.#statements += 1;
        const all = [
          String(this.#statements),
          ...args,
          this.#isRecent(this.#backAtMs) ? '1' : '0',
          channel,
          `${NEWS}${name}`,
        ];
        const reply = await run('budget', [key, `${key}:${member}`, times, since], all);
        this.#see(Array.isArray(reply) ? Number(reply[2]) : 0);
        return reply;
      },
    });
    this.#budgets.set(owner, budget);
    return budget;
  }

  #see(said: number): number {
    // What the store says may be no number, and then no share would be one.
    const count = Number.isSafeInteger(said) ? said : 0;
    if (!this.#most || count >= this.#most.count || !this.#isRecent(this.#most.atMs))
      this.#most = { count, atMs: this.#nowMs };
    return this.#most.count;
  }

  #isRecent(atMs: number | undefined): boolean {
    return atMs !== undefined && this.#nowMs - atMs < MINUTE_MS;
  }

  get #nowMs(): number {
    return this.#options.clock.now().monotonicMs;
  }
}
