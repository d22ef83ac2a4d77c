/**
 * The model of the store's scripts, on the clock of a test and with seeded faults: commands and replies that are lost or late,
 * a store that is wiped, a replica without the last write, values that somebody spoils.
 */
import type { ScriptName } from '../../src/fleet/scripts.ts';
import type { FakeClock } from './clock.ts';
import { ScriptModel } from './fleet-script-model.ts';
import type { Chance } from './seeded.ts';

export type Command = readonly [script: ScriptName, keys: readonly string[], args: readonly string[]];

export const TIMEOUT_MS = 250;

export class FaultyStore {
  isFaulty = true;
  onNews: () => void = () => undefined;
  readonly #clock: FakeClock;
  readonly #chance: Chance;
  readonly #model: ScriptModel;
  /** Takes the place of the store: without the last write. */
  #fallBack: () => void = () => undefined;
  /** After a failover the clock may be behind. */
  #clockOffMs = 0;
  /** By member: a connection delivers in order. */
  readonly #busyUntil = new Map<string, number>();

  constructor(clock: FakeClock, random: Chance) {
    this.#clock = clock;
    this.#chance = random;
    this.#model = new ScriptModel(
      () => clock.now().wallMs + this.#clockOffMs,
      () => this.onNews(),
    );
  }

  /** Like `Store.run`: undefined when there is no reply in time. */
  run(member: string, command: Command): Promise<unknown> {
    return new Promise((resolve) => {
      const cancel = this.#clock.startTimer(TIMEOUT_MS, () => resolve(undefined));
      if (this.#happens(0.03)) return;
      const at = this.#inOrder(member, this.#happens(0.02) ? this.#chance.between(300, 20_000) : this.#trip());
      this.#clock.startTimer(at, () => {
        const reply = this.#carryOut(command);
        if (this.#happens(0.03)) return;
        this.#clock.startTimer(this.#inOrder(member, this.#trip()), () => {
          cancel();
          resolve(reply);
        });
      });
    });
  }

  #carryOut(command: Command): unknown {
    if (this.#happens(0.01)) this.#model.flush();
    if (this.#happens(0.02)) {
      this.#fallBack();
      this.#clockOffMs -= this.#chance.happens(0.5) ? 2000 : 0;
    }
    if (this.#happens(0.03)) this.#spoil();
    const before = this.#model.copy();
    const reply = this.#model.run(...command);
    // A look that brings no lock writes nothing.
    if (command[0] !== 'acquire' || (Array.isArray(reply) && reply[0] === 'claimed')) this.#fallBack = before;
    return reply;
  }

  #spoil(): void {
    for (const key of this.#model.keys().filter((name) => name.endsWith(':token'))) {
      const [generation] = String(this.#model.get(key)).split(':');
      this.#model.set(key, `${generation}:spoilt`, this.#model.pttl(key));
    }
  }

  #trip(): number {
    return this.#chance.between(1, 20);
  }

  #happens(share: number): boolean {
    return this.isFaulty && this.#chance.happens(share);
  }

  /** @returns the delay after which the command or reply arrives */
  #inOrder(member: string, delayMs: number): number {
    // What is late was on a connection of its own: the next one does not wait for it.
    if (delayMs > TIMEOUT_MS) return delayMs;
    const now = this.#clock.now().monotonicMs;
    const at = Math.max(now + delayMs, this.#busyUntil.get(member) ?? 0);
    this.#busyUntil.set(member, at);
    return at - now;
  }
}
