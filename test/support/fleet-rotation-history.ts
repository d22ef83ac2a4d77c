/** A random history of a fleet that rotates: members die, sleep and are cut off, the store forgets; the same for the same seed. */
import type { RotationMember } from './fleet-rotation-member.ts';
import { RotationWorld } from './fleet-rotation-world.ts';
import { type Chance, chance } from './seeded.ts';

export interface History {
  /** What was wrong first, and when. */
  readonly problem: string | undefined;
  readonly rotations: number;
  readonly mostLive: number;
}

const STEP_MS = 500;
const FAULTS_MS = 2_400_000;
const LONGEST_MS = 90_000;
/** A member without a file needs the store after its start. */
const GRACE_MS = 45_000;

/** @param faults 0 = none, 1 = many */
export async function runHistory(seed: number, faults = 1): Promise<History> {
  const random = chance(seed, 'history');
  const world = new RotationWorld(['a', 'b', random.happens(0.5) ? 'c-memory' : 'c']);
  const away = followAway(world);
  for (const member of world.members) member.rotates = true;
  const events = new Events(world, random);
  const inMemory = new Set<string>();
  const lockedMs = new Map<string, number>();
  let problem: string | undefined;
  const step = async () => {
    await world.clock.advance(STEP_MS);
    for (const member of world.members) {
      const isLocked = member.isUp && !member.hasWorking();
      const before = lockedMs.get(member.name) ?? 0;
      const stands = member.isFrozen || member.isCutOff;
      lockedMs.set(member.name, isLocked ? before + (stands ? 0 : STEP_MS) : 0);
      // The attempt is over, and it has come back.
      if (member.isUp && !isLocked && world.live.length === 1) away.delete(member.name);
      // It took the secret over from the journal, after it had been away: as one without a file.
      if (member.isUp && !isLocked) inMemory[world.iam.isLive(member.disk.secret) ? 'delete' : 'add'](member.name);
      const limitMs = inMemory.has(member.name) ? GRACE_MS : 0;
      if (isLocked && !away.has(member.name) && (lockedMs.get(member.name) ?? 0) > limitMs)
        problem ??= `${member.name} has no secret that works at ${passedS(world)} s: ${events.log.join(', ')}`;
    }
    if (world.live.length > 3)
      problem ??= `${world.live.length} secrets at ${passedS(world)} s: ${events.log.join(', ')}`;
  };
  for (let passed = 0; passed < FAULTS_MS && problem === undefined; passed += STEP_MS) {
    if (random.happens(0.01 * faults)) events.happen();
    await step();
  }
  events.heal();
  // The longest retry after a failure is over, then a whole rotation.
  for (let passed = 0; passed < 1_200_000 && problem === undefined; passed += STEP_MS) await step();
  const without = world.members.filter((member) => !member.hasWorking()).map(({ name }) => name);
  if (without.length > 0) problem ??= `at the end ${without} have no secret that works: ${events.log.join(', ')}`;
  const before = world.made;
  for (let passed = 0; passed < 900_000 && problem === undefined; passed += STEP_MS) await step();
  if (world.made === before) problem ??= `no rotation any more: ${stateOf(world)}; ${events.log.join(', ')}`;
  await world
    .until(() => world.live.length === 1, 300_000)
    .catch(() => {
      problem ??= `strays: ${world.live.map(({ description }) => description)}; ${events.log.join(', ')}`;
    });
  return { problem, rotations: world.made, mostLive: world.mostLive };
}

function stateOf(world: RotationWorld): string {
  const members = world.members.map(({ name, problem = 'well', isUp, isFrozen, isCutOff, disk, reason, secrets }) =>
    [name, problem, reason, isUp, isFrozen, isCutOff, secrets, disk.secret].join(' '),
  );
  return [...members, world.live.map(({ value }) => value)].join('; ');
}

function passedS(world: RotationWorld): number {
  return Math.round(world.clock.now().monotonicMs / 1000);
}

/** @returns members that nobody knew of when the last attempt began: it does not wait for them */
function followAway(world: RotationWorld): Set<string> {
  const away = new Set<string>();
  world.onStep = (_, step) => {
    if (step !== 'create') return;
    const live = world.hosts();
    for (const { name } of world.members) if (!live.includes(name)) away.add(name);
  };
  return away;
}

class Events {
  readonly log: string[] = [];
  readonly #world: RotationWorld;
  readonly #random: Chance;
  readonly #refused = new Map<string, number>();

  constructor(world: RotationWorld, random: Chance) {
    this.#world = world;
    this.#random = random;
    world.refuses = (member, value) => value.length > 20 && (this.#refused.get(member) ?? 0) > world.clock.now().wallMs;
  }

  happen(): void {
    const member = this.#random.pick(this.#world.members as [RotationMember, ...RotationMember[]]);
    const ms = this.#random.between(100, this.#random.pick([2000, 40_000, LONGEST_MS]));
    const kind = this.#random.pick([
      'crash',
      'crash',
      'freeze',
      'freeze',
      'cutOff',
      'deaf',
      'wipe',
      'failover',
      'refuse',
    ]);
    this.log.push(`${passedS(this.#world)} ${kind} ${member.name} ${ms}`);
    const later = (run: () => void) => void this.#world.clock.startTimer(ms, run);
    if (kind === 'crash' && member.isUp) {
      member.crash();
      later(() => member.start());
    } else if (kind === 'freeze' && member.isUp) {
      member.freeze();
      later(() => member.thaw());
    } else if (kind === 'cutOff') {
      member.isCutOff = true;
      later(() => {
        member.isCutOff = false;
      });
    } else if (kind === 'deaf') member.hears = !member.hears;
    else if (kind === 'wipe') this.#world.scripts.flush();
    else if (kind === 'failover') this.#world.scripts.loseLast();
    else if (kind === 'refuse') this.#refused.set(member.name, this.#world.clock.now().wallMs + ms);
  }

  heal(): void {
    this.log.push(`${passedS(this.#world)} heal`);
    for (const member of this.#world.members) member.hears = true;
  }
}
