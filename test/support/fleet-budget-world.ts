/** Members of a fleet in one process that count against one budget over a model of the store, on a clock that stands. */
import { randomBytes } from 'node:crypto';
import type { SidecarError } from '../../src/core/errors.ts';
import { Secret } from '../../src/core/secret.ts';
import { FleetBudgets } from '../../src/fleet/budgets.ts';
import { createSealer } from '../../src/fleet/seal.ts';
import { type Claim, createQuotas, OWN_BUDGETS } from '../../src/proxy/rate-limits.ts';
import { allPromises, createFakeClock } from './clock.ts';
import { BudgetModel } from './fleet-budget-model.ts';

export interface BudgetMember {
  /** Requests a second that its callers send. */
  rate: number;
  /** `down`: rejects at once. `silent`: carries a command out, but nobody hears of it in time. */
  store: 'up' | 'down' | 'silent';
  /** What the heartbeat has told it. */
  seen: number | undefined;
  /** Whether it hears of news. */
  hears: boolean;
  /** Monotonic ms of each request begun. */
  readonly begun: number[];
  /** `Retry-After` of each request refused. */
  readonly refused: number[];
  readonly commands: number;
  /** Begins a request; returns 0, or when to retry. */
  attempt(): number;
  readonly budgets: FleetBudgets;
}

export interface BudgetWorldOptions {
  readonly limit: number;
  readonly members: number;
  /** `naive`: each counts alone. Default: as a fleet. */
  readonly kind?: 'fleet' | 'naive';
}

const STEP_MS = 50;
const TRIP_MS = 5;
const TIMEOUT_MS = 250;
export const OWNER = 'caller planted-erp';

export class BudgetWorld {
  readonly clock = createFakeClock(undefined, allPromises);
  readonly model: BudgetModel;
  readonly members: BudgetMember[];
  /** Arguments of the last command. */
  lastCommand: readonly string[] = [];
  /** Takes the place of the model. */
  reply: (() => unknown) | undefined;
  /** How far the store's clock is ahead of the members'. */
  storeAheadMs = 0;
  readonly #options: BudgetWorldOptions;
  readonly #sealer = createSealer([new Secret(randomBytes(32).toString('base64url'))]);

  constructor(options: BudgetWorldOptions) {
    this.#options = options;
    const news = (message: string) => {
      for (const { budgets, hears } of this.members) if (hears) budgets.onNews(message);
    };
    this.model = new BudgetModel(() => Math.floor(this.clock.now().wallMs) + this.storeAheadMs, news);
    this.model.members = options.members;
    this.members = Array.from({ length: options.members }, (_, index) => this.#start(index));
  }

  /** Lets callers send for so long, at the rates of the members. */
  async pass(seconds: number): Promise<void> {
    const owed = this.members.map(() => 0);
    for (let at = 0; at < seconds * 1000; at += STEP_MS) {
      for (const [index, member] of this.members.entries()) {
        owed[index] = (owed[index] ?? 0) + (member.rate * STEP_MS) / 1000;
        for (; (owed[index] ?? 0) >= 1; owed[index] = (owed[index] ?? 0) - 1) member.attempt();
      }
      await this.clock.advance(STEP_MS);
    }
  }

  /** Each member's callers send so many requests a second. */
  load(...rates: readonly number[]): void {
    for (const [index, member] of this.members.entries()) member.rate = rates[index] ?? 0;
  }

  /** The most requests that all members together began in a window of 60 s. */
  most(fromMs = 0): number {
    const all = this.members.flatMap(({ begun }) => begun.filter((at) => at >= fromMs)).sort((a, b) => a - b);
    let [most, first] = [0, 0];
    for (const [index, at] of all.entries()) {
      while ((all[first] ?? at) <= at - 60_000) first += 1;
      most = Math.max(most, index - first + 1);
    }
    return most;
  }

  /** Requests that each member has begun since then. */
  begun(fromMs = 0): number[] {
    return this.members.map(({ begun }) => begun.filter((at) => at >= fromMs).length);
  }

  get nowMs(): number {
    return this.clock.now().monotonicMs;
  }

  #start(index: number): BudgetMember {
    const { clock } = this;
    const counts = { commands: 0 };
    const state = { rate: 0, store: 'up' as BudgetMember['store'], hears: true, seen: this.#options.members };
    const budgets = new FleetBudgets({
      ...{ clock, prefix: 'aritma', channel: 'aritma:news', sealer: this.#sealer, member: `member-${index}` },
      members: () => member.seen,
      run: (_script, keys, args) => {
        counts.commands += 1;
        return this.#run(member, keys, args);
      },
    });
    const { kind, limit } = this.#options;
    const enter = createQuotas(() => clock.now().monotonicMs, kind === 'naive' ? OWN_BUDGETS : budgets);
    const claims: Claim[] = [{ owner: OWNER, limits: { requestsPerMinute: limit } }];
    const attempt = () => {
      try {
        enter(claims)();
        member.begun.push(this.nowMs);
        return 0;
      } catch (error) {
        const waitS = (error as SidecarError).extras.retryAfterS ?? Number.NaN;
        member.refused.push(waitS);
        return waitS;
      }
    };
    const member: BudgetMember = {
      ...{ ...state, begun: [], refused: [], attempt, budgets },
      get commands() {
        return counts.commands;
      },
    };
    return member;
  }

  async #run(member: BudgetMember, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    if (member.store === 'down') throw new Error('down');
    await this.#pause(TRIP_MS);
    this.lastCommand = [...keys, ...args];
    const reply = this.reply ? this.reply() : this.model.run(keys, args);
    if (member.store === 'silent') {
      await this.#pause(TIMEOUT_MS);
      throw new Error('late');
    }
    await this.#pause(TRIP_MS);
    return reply;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => void this.clock.startTimer(ms, resolve));
  }
}
