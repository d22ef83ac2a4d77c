/** The store is a help, never a need. */
import { stampOf } from '../platform/network.ts';
import type { Machine } from '../platform/process.ts';
import type { Observation } from '../world/observation.ts';
import type { World } from '../world/world.ts';
import type { Invariant } from './invariants.ts';

/** The longest back-off that the identity server can cause. */
const BACK_OFF_MS = 330_000;
/** The longest that a call to the API can take, and the wait before it. */
const UPSTREAM_MS = 120_000;
/** A lock whose holder is gone ends by then, and another member has asked. */
const LOCK_MS = 10_000;
/** A try of five seconds that had begun before the machine slept, and the longest pause after it while calls wait. */
const WAKE_MS = 15_000;
/**
 * Without a token: `fleet.timeout` (250 ms) twice at the start of a process, a second and a fifth for news that do not come, as long
 * for the reply of a slow store, and the calls themselves.
 */
const LONGEST_MS = 2500;

/** Until when something other than the store may delay or fail a call, true ms. */
class Trouble {
  /** For want of a token. */
  untilServed = 0;
  untilQuick = 0;
  /** By the clock of each machine: nobody puts a wrong file right while its machine sleeps. */
  readonly #untilRotated = new Map<Machine, number>();
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  get isRotated(): boolean {
    const { time } = this.#world.platform;
    return [...this.#untilRotated].some(([machine, until]) => stampOf(time, { machine }).monotonicMs < until);
  }

  observe({ name, args }: Observation & { kind: 'happens' }, now: number): void {
    const ms = Number(args['ms'] ?? 0);
    const isOfIdentity =
      /^(identity\.(?!revoke)|member\.cutOffFromIdentity|operator\.rotate|fleet\.keyAfterRefusal)/.test(name);
    // Until people have put it right.
    if (/^iam\.(delete|replace)/.test(name)) this.#until(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
    if (name === 'operator.rotate') this.#rotated(ms + BACK_OFF_MS);
    if (isOfIdentity) this.#until(now + ms + BACK_OFF_MS, now + ms + BACK_OFF_MS);
    else if (name === 'machine.sleep') this.#until(now + ms + LOCK_MS, now + ms + LOCK_MS);
    else if (name.startsWith('upstream.')) this.#until(0, now + ms + UPSTREAM_MS);
    else if (/^(process|member\.(leaves|killSoon)|operator)/.test(name)) this.#until(0, now + ms + 2 * LOCK_MS);
  }

  repaired(now: number): void {
    if (this.untilServed < Number.POSITIVE_INFINITY) return;
    this.untilServed = now + BACK_OFF_MS;
    this.untilQuick = now + BACK_OFF_MS;
  }

  /** The file of a member has a wrong secret: for as long as its machine sleeps, nobody puts it right. */
  wrongSecret(now: number): void {
    this.#until(now + BACK_OFF_MS, now + BACK_OFF_MS);
  }

  /** Machines sleep between the stretches, too. */
  slept(until: number): void {
    this.#until(until + LOCK_MS, until + WAKE_MS);
  }

  #rotated(ms: number): void {
    for (const { machine } of this.#world.hosts)
      this.#untilRotated.set(machine, stampOf(this.#world.platform.time, { machine }).monotonicMs + ms);
  }

  #until(served: number, quick: number): void {
    this.untilServed = Math.max(this.untilServed, served);
    this.untilQuick = Math.max(this.untilQuick, quick);
  }
}

function watchCalls(world: World, onTold: (told: (Observation & { kind: 'told' })['told'], trouble: Trouble) => void) {
  const trouble = new Trouble(world);
  return (observation: Observation) => {
    if (!world.fleet) return;
    if (observation.kind === 'happens') trouble.observe(observation, world.platform.time.nowMs);
    if (observation.kind === 'repaired') trouble.repaired(world.platform.time.nowMs);
    if (observation.kind === 'log' && hasWrongSecret(world, observation))
      trouble.wrongSecret(world.platform.time.nowMs);
    if (observation.kind !== 'told') return;
    for (const { machine } of world.hosts) trouble.slept(machine.asleepUntil);
    onTold(observation.told, trouble);
  };
}

function hasWrongSecret(world: World, { line, process }: Observation & { kind: 'log' }): boolean {
  if (line['code'] !== 'CREDENTIALS_REJECTED') return false;
  const { disk, time } = world.platform;
  const host = world.hosts.find((one) => one.process === process);
  const secret = host && disk.find(host.secretFile).content.toString().trimEnd();
  return secret !== undefined && !((world.identity.secrets.get(secret) ?? 0) > time.nowMs);
}

export const storeFailsNothing: Invariant = {
  sentence:
    'No call fails for want of a token because of the store: only within five and a half minutes of a fault of the identity server or of a rotated secret, or of the refusal of a wrong one in the file, or ten seconds after a sleep.',
  watch: (world, violated) =>
    watchCalls(world, ({ id, code }, { untilServed, isRotated }) => {
      if (world.platform.time.nowMs < untilServed || isRotated || !/^(TOKEN_|CREDENTIALS_)/.test(code ?? '')) return;
      violated(`payment ${id} got ${code}`);
    }),
};

export const storeDelaysLittle: Invariant = {
  sentence:
    'The store delays no call by more than two and a half seconds, unless a member that asks has just gone. Excused: within fifteen seconds of a sleep, a try that had begun before it.',
  watch: (world, violated) =>
    watchCalls(world, ({ id, attempt, status }, { untilQuick }) => {
      const { nowMs } = world.platform.time;
      const called = world.calledAt(id, String(attempt));
      if (!called || status !== 201 || nowMs < untilQuick) return;
      const tookMs = nowMs - called.trueMs;
      if (tookMs > LONGEST_MS) violated(`payment ${id} took ${Math.round(tookMs)} ms`);
    }),
};
