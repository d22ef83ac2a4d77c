/**
 * What the scripts of the fleet do to a store, in JavaScript and on the clock of a test; with seeded faults: commands and
 * replies that are lost or late, a store that is wiped, a replica without the last write, values that somebody spoils.
 */
import type { ScriptName } from '../../src/fleet/scripts.ts';
import type { FakeClock } from './clock.ts';
import type { Chance } from './seeded.ts';

export interface Command {
  readonly script: ScriptName;
  readonly keys: readonly string[];
  readonly args: readonly string[];
}

interface Entry {
  readonly value: string;
  /** Monotonic ms of the clock. */
  readonly until: number;
}

/** `fleet.timeout`. */
const TIMEOUT_MS = 250;

export class FaultyStore {
  isFaulty = true;
  onNews: () => void = () => undefined;
  readonly #clock: FakeClock;
  readonly #chance: Chance;
  #entries = new Map<string, Entry>();
  /** Without the last write. */
  #replica = new Map<string, Entry>();
  /** A failover may bring a clock that is behind. */
  #clockOffMs = 0;
  /** By member: a connection delivers in order. */
  readonly #busyUntil = new Map<string, number>();

  constructor(clock: FakeClock, random: Chance) {
    this.#clock = clock;
    this.#chance = random;
  }

  /** Like `Store.run`: undefined when there is no reply in time. */
  run(member: string, command: Command): Promise<unknown> {
    return new Promise((resolve) => {
      const cancel = this.#clock.startTimer(TIMEOUT_MS, () => resolve(undefined));
      if (this.#happens(0.03)) return;
      const at = this.#inOrder(member, this.#happens(0.02) ? this.#chance.between(300, 20_000) : this.#trip());
      this.#clock.startTimer(at, () => {
        this.#goWrong();
        const reply = this.#carryOut(command);
        if (this.#happens(0.03)) return;
        this.#clock.startTimer(this.#inOrder(member, this.#trip()), () => {
          cancel();
          resolve(reply);
        });
      });
    });
  }

  #trip(): number {
    return this.#chance.between(1, 20);
  }

  #happens(share: number): boolean {
    return this.isFaulty && this.#chance.happens(share);
  }

  #inOrder(member: string, delayMs: number): number {
    const now = this.#clock.now().monotonicMs;
    // A command that is late was on a connection of its own: the next one does not wait for it.
    const at = delayMs > TIMEOUT_MS ? now + delayMs : Math.max(now + delayMs, this.#busyUntil.get(member) ?? 0);
    if (delayMs <= TIMEOUT_MS) this.#busyUntil.set(member, at);
    return at - now;
  }

  #goWrong(): void {
    if (this.#happens(0.01)) this.#entries = new Map();
    if (this.#happens(0.02)) {
      this.#entries = new Map(this.#replica);
      this.#clockOffMs = this.#chance.happens(0.5) ? -60_000 : 0;
    }
    for (const [key, { until }] of this.#entries) {
      if (key.endsWith(':token') && this.#happens(0.03))
        this.#entries.set(key, { value: `${this.#entries.get(key)?.value.split(':')[0]}:spoilt`, until });
    }
  }

  #carryOut({ script, keys, args }: Command): unknown {
    if (script === 'acquire') return this.#acquire(keys, args);
    if (script === 'put') return this.#put(keys, args);
    return this.#giveUp(keys, args);
  }

  #acquire(
    [token = '', lock = '', generation = '', refused = '']: readonly string[],
    args: readonly string[],
  ): unknown {
    const [known = '0', , holder = '', lockMs = '0'] = args;
    const stored = this.#get(token);
    if (stored && generationOf(stored) > Number(known)) return ['token', stored.value, this.#left(stored)];
    if (lockMs === '0') return ['none'];
    if (this.#get(refused)) return ['refused'];
    const held = this.#get(lock);
    if (held) return ['busy', this.#left(held)];
    const last = Number(this.#get(generation)?.value ?? 0);
    const wallMs = this.#clock.now().wallMs + this.#clockOffMs;
    const next = Math.max(wallMs, Number(known) + 1, last + 1);
    this.#replicate();
    this.#set(lock, holder, Number(lockMs));
    this.#set(generation, String(next), 172_800_000);
    return ['claimed', next, 0];
  }

  #put([token = '', lock = '']: readonly string[], args: readonly string[]): number {
    const [holder, generation, value = '', leftMs] = args;
    if (this.#get(lock)?.value !== holder) return 0;
    this.#replicate();
    this.#entries.delete(lock);
    const stored = this.#get(token);
    if (stored && generationOf(stored) >= Number(generation)) return 0;
    this.#set(token, value, Number(leftMs));
    this.onNews();
    return 1;
  }

  #giveUp([lock = '', refused = '']: readonly string[], [holder, refusedMs, pauseMs]: readonly string[]): number {
    if (this.#get(lock)?.value !== holder) return 0;
    this.#replicate();
    if (refusedMs === '0') {
      this.#set(lock, holder ?? '', Number(pauseMs));
      return 1;
    }
    this.#set(refused, '1', Number(refusedMs));
    this.#entries.delete(lock);
    this.onNews();
    return 1;
  }

  #replicate(): void {
    this.#replica = new Map(this.#entries);
  }

  #get(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    return entry && this.#left(entry) > 0 ? entry : undefined;
  }

  #set(key: string, value: string, ms: number): void {
    this.#entries.set(key, { value, until: this.#clock.now().monotonicMs + ms });
  }

  #left({ until }: Entry): number {
    return until - this.#clock.now().monotonicMs;
  }
}

function generationOf({ value }: Entry): number {
  return Number(value.split(':')[0]);
}
