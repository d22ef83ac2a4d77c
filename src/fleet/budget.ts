/**
 * One budget of the fleet, as one member sees it: a lot that it may begin without asking, renewed in the background about once a
 * second while the budget is in use. Nobody waits for the store.
 */
import { type Clock, elapsedSince, type Instant } from '../core/clock.ts';

/** The requests that this member has begun. */
export interface Begun {
  /** Those of the last minute: pairs of how many ms ago at least, and how many. */
  recent(): readonly (readonly [agoMs: number, count: number])[];
  /** Seconds until fewer than `limit` were begun in the last minute; 0 = now. */
  secondsUntilBelow(limit: number): number;
}

export interface BudgetOptions {
  readonly clock: Clock;
  /** Live members as last seen; 0: none was ever seen. */
  readonly members: () => number;
  /** Whether the fleet has used up this budget in the last minute. */
  readonly isTight: () => boolean;
  /** Runs the script. @param args from the limit to what was begun @throws Error when the store cannot be used */
  readonly run: (args: readonly string[]) => Promise<unknown>;
}

/** A lot not used by then goes back. Longer than two commands and their time limits. */
const LOT_MS = 3000;
/** Between two commands. */
const TICK_MS = 1000;
/** The same, when there was more to begin than the lot allowed. */
const EARLY_MS = 250;
/** A lot is for what was asked for in so many seconds. */
const AHEAD_S = 2;
const LONGEST_WAIT_S = 60;
const NEXT_LOT_S = 1;

/** What the store said last. */
interface Reply {
  /** Monotonic: a clock that is set forward must not end what it said. */
  readonly atMs: number;
  /** Nothing is free before this, ms from `atMs`. */
  readonly fullMs: number;
}

export class Budget {
  readonly #options: BudgetOptions;
  #limit = 1;
  #begun: Begun | undefined;
  /** May be begun yet, until `LOT_MS` after it was asked for. */
  #lot = 0;
  #lotSince: Instant;
  /** Undefined: none, or the last command failed. */
  #reply: Reply | undefined;
  /** The last command asked for nothing. */
  #isIdle = false;
  #failed = false;
  /** Begun without a lot since the last reply: an advance. */
  #advance = 0;
  /** Begun, and asked for, since the last command was sent. */
  #sinceSent = 0;
  #asked = 0;
  #sentMs = Number.NEGATIVE_INFINITY;
  #isRunning = false;
  #isClosed = false;
  /** When the next command is due; monotonic. */
  #dueMs = Number.POSITIVE_INFINITY;
  #cancel: () => void = () => undefined;

  constructor(options: BudgetOptions) {
    this.#options = options;
    this.#lotSince = options.clock.now();
  }

  /** Seconds until this member may begin one more; 0 = now. What it must refuse counts as asked for. */
  secondsUntilFree(limit: number, begun: Begun): number {
    this.#limit = limit;
    this.#begun = begun;
    // Whatever the store says: one member alone begins no more than the limit.
    const waitS = Math.max(begun.secondsUntilBelow(limit), this.#waitS(begun, this.#options.clock.now()));
    if (waitS > 0) this.#ask();
    return waitS;
  }

  /** Call when one is begun. */
  take(): void {
    if (this.#lotLeft(this.#options.clock.now()) > 0) this.#lot -= 1;
    else this.#advance += 1;
    this.#sinceSent += 1;
    this.#ask();
  }

  /** Call when the store is usable again: it must hear soon what this member has begun meanwhile. */
  restate(): void {
    if (this.#failed) this.#schedule(0);
  }

  /** Sends no more commands. */
  close(): void {
    this.#isClosed = true;
    this.#cancel();
  }

  #waitS(begun: Begun, now: Instant): number {
    if (this.#lotLeft(now) > 0) return 0;
    if (!this.#reply) return this.#waitAloneS(begun);
    const agoMs = now.monotonicMs - this.#reply.atMs;
    const fullMs = this.#reply.fullMs - agoMs;
    if (fullMs > 0) return Math.min(LONGEST_WAIT_S, Math.ceil(fullMs / 1000));
    // With a lot from a moment ago there is no advance: the next one is larger.
    if (agoMs <= LOT_MS && !this.#isIdle) return NEXT_LOT_S;
    return this.#advance < this.#mostInAdvance ? 0 : NEXT_LOT_S;
  }

  /** What was begun before the fleet was joined anew counts, too. */
  #waitAloneS(begun: Begun): number {
    if (this.#failed) return begun.secondsUntilBelow(this.#share);
    return Math.min(NEXT_LOT_S, begun.secondsUntilBelow(this.#mostInAdvance));
  }

  get #mostInAdvance(): number {
    return this.#options.isTight() ? 1 : this.#share;
  }

  get #share(): number {
    return Math.max(1, Math.floor(this.#limit / Math.max(1, this.#options.members())));
  }

  #lotLeft(now: Instant): number {
    return elapsedSince(this.#lotSince, now) < LOT_MS ? this.#lot : 0;
  }

  #ask(): void {
    this.#asked += 1;
    this.#scheduleNext();
  }

  #scheduleNext(): void {
    const isShort = this.#lotLeft(this.#options.clock.now()) === 0 && !this.#failed && !this.#reply?.fullMs;
    this.#schedule(this.#sentMs + (isShort ? EARLY_MS : TICK_MS));
  }

  /** The path of a request only sets a timer. @param dueMs monotonic */
  #schedule(dueMs: number): void {
    if (this.#isClosed || this.#isRunning || dueMs >= this.#dueMs) return;
    this.#cancel();
    this.#dueMs = dueMs;
    const waitMs = Math.max(0, dueMs - this.#options.clock.now().monotonicMs);
    this.#cancel = this.#options.clock.startTimer(waitMs, () => void this.#send());
  }

  /** States what was begun, and asks for a new lot, or gives the old one back when nothing was asked for. Never rejects. */
  async #send(): Promise<void> {
    const { clock, members, run } = this.#options;
    const sent = clock.now();
    const wanted = this.#wanted(sent);
    this.#isIdle = wanted === 0;
    // What goes back is not begun any more, even if no reply comes.
    this.#lot = Math.min(this.#lotLeft(sent), wanted);
    const begun = (this.#begun?.recent() ?? []).map((pair) => pair.join(':')).join(' ');
    const numbers = [this.#limit, this.#lot, wanted, LOT_MS].map(String);
    const args = [...numbers, begun, String(members())];
    this.#dueMs = Number.POSITIVE_INFINITY;
    this.#sentMs = sent.monotonicMs;
    [this.#sinceSent, this.#asked, this.#isRunning] = [0, 0, true];
    try {
      this.#takeOver(await run(args), sent);
    } catch {
      this.#reply = undefined;
      this.#failed = true;
    }
    this.#isRunning = false;
    if (this.#asked > 0 || this.#lotLeft(clock.now()) > 0) this.#scheduleNext();
  }

  #wanted(now: Instant): number {
    if (this.#asked === 0) return 0;
    const elapsedMs = Math.min(TICK_MS, Math.max(EARLY_MS, now.monotonicMs - this.#sentMs));
    const soon = Math.ceil((AHEAD_S * 1000 * this.#asked) / elapsedMs);
    // Who is active has room for a burst, unless others need it.
    const burst = this.#options.isTight() ? 0 : Math.ceil(this.#share / 2);
    return Math.min(this.#limit, Math.max(soon, burst));
  }

  /** @throws Error for what is no reply of the script */
  #takeOver(reply: unknown, sent: Instant): void {
    const [lot, fullMs] = Array.isArray(reply) ? reply.map(Number) : [];
    if (!isCount(lot) || !isCount(fullMs)) throw new Error('no reply of the script');
    this.#lot = Math.max(0, lot - this.#sinceSent);
    this.#lotSince = sent;
    this.#advance = Math.max(0, this.#sinceSent - lot);
    this.#reply = { atMs: this.#options.clock.now().monotonicMs, fullMs };
    this.#failed = false;
  }
}

function isCount(value: number | undefined): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
