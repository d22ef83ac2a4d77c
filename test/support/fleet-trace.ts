/**
 * Three real `SharedToken`s on a store that fails at random, all on one clock of the test, and what each of them did in the
 * words of `test/model/member-steps.h`: that table is the automaton of the model that spin checks.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Secret } from '../../src/core/secret.ts';
import { FleetMemory } from '../../src/fleet/memory.ts';
import type { ScriptName } from '../../src/fleet/scripts.ts';
import type { Sealer } from '../../src/fleet/seal.ts';
import { SharedToken } from '../../src/fleet/shared-token.ts';
import type { Replaced } from '../../src/oauth/token.ts';
import type { TokenResponse } from '../../src/oauth/token-response.ts';
import { createFakeClock, type FakeClock } from './clock.ts';
import { type Command, FaultyStore, TIMEOUT_MS } from './fleet-faulty-store.ts';
import { type Chance, chance } from './seeded.ts';

/** `part_from_event` → the state after it. */
export type Rows = ReadonlyMap<string, string>;

const MEMBERS = ['m0', 'm1', 'm2'] as const;
const ATTEMPT_MS = 10_000;
const RUN_MS = 120_000;
const REST = 'rest';

export function readRows(): Rows {
  const text = readFileSync(join(import.meta.dirname, '..', 'model', 'member-steps.h'), 'utf8');
  return new Map([...text.matchAll(/^#define (\w+) (\w+)$/gm)].map(([, row = '', to = '']) => [row, to]));
}

/**
 * Follows the steps of one member through the rows. @param taken gets the rows
 * @returns the first step that no row allows, or what has not come to an end
 */
export function firstWrongStep(rows: Rows, steps: readonly string[], taken: Set<string>): string | undefined {
  // A flight at a time; a write or a look without a caller may begin before the one before has ended.
  let flight = REST;
  const others: { part: string; at: string }[] = [];
  const knows = (part: string, event: string) => [...rows.keys()].some((row) => isOf(row, part, event));
  for (const [index, event] of steps.entries()) {
    const wrong = `step ${index}, ${event}, from ${[flight, ...others.map(({ at }) => at)]}: ${steps.slice(0, index + 1)}`;
    let isKnown = false;
    if (knows('flight', event)) {
      const to = rows.get(`flight_${flight}_${event}`);
      if (to === undefined) return wrong;
      taken.add(`flight_${flight}_${event}`);
      flight = to;
      isKnown = true;
    }
    if (event === 'crash') others.length = 0;
    for (const part of ['write', 'peek']) {
      if (!knows(part, event)) continue;
      isKnown = true;
      const one = others.find((other) => other.part === part && rows.has(`${part}_${other.at}_${event}`));
      const row = `${part}_${one?.at ?? REST}_${event}`;
      const to = rows.get(row);
      if (to === undefined) return wrong;
      taken.add(row);
      if (one) others.splice(others.indexOf(one), 1);
      if (to !== REST) others.push({ part, at: to });
    }
    if (!isKnown) return wrong;
  }
  const open = [flight, ...others.map(({ at }) => at)].filter((at) => at !== REST);
  return open.length > 0 ? `never ends: ${open}; ${steps}` : undefined;
}

function isOf(row: string, part: string, event: string): boolean {
  return row.startsWith(`${part}_`) && row.endsWith(`_${event}`);
}

/** Changes replies on their way to the program, behind the back of the one that notes them: the program goes astray. */
export type Forge = (script: ScriptName, reply: unknown) => unknown;

/** @returns the steps of each member, two minutes long; the same for the same seed */
export async function recordFleet(seed: number, forge: Forge = (_, reply) => reply): Promise<readonly string[][]> {
  const clock = createFakeClock();
  const store = new FaultyStore(clock, chance(seed, 'store'));
  const members = MEMBERS.map((name) => new Member({ name, clock, store, forge, random: chance(seed, name) }));
  store.onNews = () => {
    for (const member of members) member.hear();
  };
  for (const member of members) member.start();
  await clock.advance(RUN_MS);
  for (const member of members) member.isEnding = true;
  store.isFaulty = false;
  await clock.advance(RUN_MS);
  return members.map(({ steps }) => steps);
}

interface MemberOptions {
  readonly name: string;
  readonly clock: FakeClock;
  readonly store: FaultyStore;
  readonly forge: Forge;
  readonly random: Chance;
}

/** Seals nothing: the store spoils values by another mark. */
const SEALER: Sealer = {
  keyId: 'none',
  name: (parts) => JSON.stringify(parts),
  olderNames: () => [],
  seal: (_, content) => Promise.resolve(JSON.stringify(content)),
  open: (_, sealed) => Promise.resolve(sealed.startsWith('{') ? { content: JSON.parse(sealed) } : 'key'),
};

/** One process after another with the same place in the fleet. */
class Member {
  readonly steps: string[] = [];
  isEnding = false;
  readonly #options: MemberOptions;
  #life = 0;
  #claims = 0;
  #token: SharedToken | undefined;
  #isRight: boolean;
  /** The flight has a lock. */
  #isClaimed = false;
  /** The flight was given a token, and has not said yet what it does with it. */
  #isOpening = false;
  #peekTaken = () => undefined as undefined;

  constructor(options: MemberOptions) {
    this.#options = options;
    this.#isRight = options.name !== MEMBERS[2];
  }

  start(): void {
    const { clock, random, name } = this.#options;
    this.#life += 1;
    const life = this.#life;
    const note = (step: string) => {
      if (life === this.#life) this.steps.push(step);
    };
    const token = new SharedToken({
      ...{ clock, sealer: SEALER, random: () => random.next(), prefix: 'p', channel: 'c', parts: ['token'] },
      ...{ attemptMs: ATTEMPT_MS, timeoutMs: TIMEOUT_MS, host: undefined },
      secrets: () => [this.#isRight ? 'right' : 'wrong'],
      newHolder: () => {
        this.#claims += 1;
        return `${name}:${this.#claims}`;
      },
      onToken: () => undefined,
      onRejected: () => undefined,
      memory: new FleetMemory(),
      store: { run: (...command) => this.#run(note, command) },
    });
    token.subscribe(() => this.#peekTaken());
    this.#token = token;
    this.#isClaimed = false;
    this.#isOpening = false;
    void this.#live(token, note, () => life === this.#life && !this.isEnding);
    if (random.happens(0.4)) {
      clock.startTimer(random.between(0, random.pick([2000, RUN_MS])), () => {
        if (this.isEnding || life !== this.#life) return;
        note('crash');
        this.start();
      });
    }
  }

  hear(): void {
    const { clock, random } = this.#options;
    if (random.happens(0.8)) clock.startTimer(random.between(0, 20), () => this.#token?.onNews());
  }

  /** Wants a token, again and again: a first one, or another than the one it has. */
  async #live(token: SharedToken, note: (step: string) => void, isAlive: () => boolean): Promise<void> {
    const { random } = this.#options;
    let replaced: Replaced | undefined;
    while (isAlive()) {
      note('want');
      const response = await token.fetch(
        () => this.#own(note),
        () => (random.happens(0.5) ? Promise.resolve() : new Promise(() => undefined)),
        replaced,
      );
      if (response.kind === 'token')
        replaced = { authorization: response.authorization, isRefused: random.happens(0.5) };
      else if (response.result === 'timeout') note('timedOut');
      if (this.#isOpening) note('token');
      this.#isOpening = false;
      await this.#pass(random.happens(0.5) ? random.between(1, 300) : random.between(300, 20_000));
      if (random.happens(0.1)) this.#isRight = !this.#isRight;
    }
  }

  async #own(note: (step: string) => void): Promise<TokenResponse> {
    const { random } = this.#options;
    this.#startFrom('alone', note);
    const suffix = this.#isClaimed ? '' : 'Alone';
    this.#isClaimed = false;
    const isRight = this.#isRight;
    // Beyond the life of the lock: the process was asleep.
    await this.#pass(random.happens(0.2) ? random.between(9000, 15_000) : random.between(20, 800));
    if (!isRight || random.happens(0.2)) {
      note(`failed${suffix}`);
      return isRight ? { kind: 'unavailable', result: 'network' } : { kind: 'rejected', result: 'invalid_client' };
    }
    note(`obtained${suffix}`);
    const authorization = new Secret(`Bearer ${random.between(1, 1e9)}`);
    return { kind: 'token', authorization, lifetimeS: 3600, assumedLifetime: false };
  }

  /** The flight goes on: what it was given before was of no use. */
  #startFrom(step: string, note: (step: string) => void): void {
    if (this.#isOpening) note('useless');
    this.#isOpening = false;
    if (!this.#isClaimed) note(step);
  }

  async #run(note: (step: string) => void, command: Command): Promise<unknown> {
    const { store, forge, name } = this.#options;
    const [script, , args] = command;
    const isPeek = script === 'acquire' && args[3] === '0';
    if (isPeek) note('peek');
    else if (script !== 'acquire') note(script);
    else if (this.steps.at(-1) !== 'want' || this.#isOpening) this.#startFrom('look', note);
    const reply = await store.run(name, command);
    if (isPeek) this.#notePeek(note, reply);
    else if (script === 'acquire') this.#noteLook(note, reply);
    else if (script !== 'hold') note(WRITTEN[script]?.[String(reply)] ?? `${script} ${reply}`);
    return forge(script, reply);
  }

  #noteLook(note: (step: string) => void, reply: unknown): void {
    const kind = Array.isArray(reply) ? String(reply[0]) : 'unanswered';
    this.#isClaimed = kind === 'claimed';
    this.#isOpening = kind === 'token';
    if (kind !== 'token') note(kind === 'verdict' ? 'refused' : kind);
  }

  #notePeek(note: (step: string) => void, reply: unknown): void {
    if (!Array.isArray(reply) || reply[0] === 'none') {
      note(Array.isArray(reply) ? 'nothing' : 'peekUnanswered');
      return;
    }
    let isTaken = false;
    this.#peekTaken = () => {
      isTaken = true;
    };
    // By then it has been opened.
    setImmediate(() => note(isTaken ? 'taken' : 'unusable'));
  }

  #pass(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#options.clock.startTimer(ms, resolve));
  }
}

const WRITTEN: Readonly<Partial<Record<ScriptName, Readonly<Record<string, string>>>>> = {
  put: { 1: 'stored', 0: 'superseded', undefined: 'putUnanswered' },
  giveUp: { 1: 'released', 0: 'releasedBefore', undefined: 'giveUpUnanswered' },
};
