/** Rotations in a fleet while its members and the program that rotates are killed, cut off, and the store forgets everything. */
import { setTimeout as pause } from 'node:timers/promises';
import { startPacedLoad } from './paced-load.ts';
import type { RotationFleet, RotationMember } from './rotation-fleet.ts';
import type { Chance } from './seeded.ts';
import { until } from './until.ts';

const STRIKES = ['kill rotate', 'kill a member', 'cut a member off', 'wipe the store', 'kill the store'] as const;
type Strike = (typeof STRIKES)[number];

export interface ChaosRound {
  readonly struck: readonly Strike[];
  /** What was wrong at any moment, or at the end; empty = nothing. */
  readonly wrong: readonly string[];
  readonly calls: number;
  readonly seconds: number;
}

/** A rotation, its faults, and the wait until it is over. */
const ROUND_LIMIT_MS = 180_000;
const AWAY_MS = 12_000;
const CALLS_PER_SECOND = 60;

/** One rotation, struck once or twice; resolves when the client has one secret again that all members have. */
export async function rotateInChaos(fleet: RotationFleet, luck: Chance): Promise<ChaosRound> {
  const startedAt = Date.now();
  const wrong = new Set<string>();
  const spared = luck.pick(fleet.members as [RotationMember, ...RotationMember[]]);
  await using load = startPacedLoad([spared.url], CALLS_PER_SECOND);
  const watch = watchSecrets(fleet, wrong);
  const old = spared.secret();
  const others = fleet.members.filter((member) => member !== spared) as [RotationMember, ...RotationMember[]];
  const struck = [luck.pick(STRIKES), luck.pick(STRIKES)];
  await begun(luck.pick(fleet.members as [RotationMember, ...RotationMember[]]), async (kill) => {
    await pause(luck.between(0, 4000));
    for (const one of struck) {
      if (one === 'kill rotate') kill();
      else await strike(one, { fleet, member: luck.pick(others), luck });
      await pause(luck.between(0, 2000));
    }
  });
  await until('the old secret is deleted', async () => !(await fleet.accepts(old)), ROUND_LIMIT_MS).catch(note(wrong));
  await until('all have the one secret', () => haveOneSecret(fleet), ROUND_LIMIT_MS).catch(note(wrong));
  watch.stop();
  const { requests, failures } = await load.stop();
  for (const [failure, count] of Object.entries(failures)) wrong.add(`${count} calls failed: ${failure}`);
  return { struck, wrong: [...wrong], calls: requests, seconds: Math.round((Date.now() - startedAt) / 1000) };
}

/** Runs `rotate` until it has begun one, and `meanwhile` beside it. */
async function begun(member: RotationMember, meanwhile: (kill: () => void) => Promise<void>): Promise<void> {
  for (const end = Date.now() + ROUND_LIMIT_MS; Date.now() < end; await pause(1000))
    if (await tryToRotate(member, meanwhile)) return;
  throw new Error('no rotation could begin');
}

/** Runs `rotate`, and `meanwhile` beside it when a rotation has begun; resolves when it has ended. @returns whether one has begun */
export async function tryToRotate(
  member: RotationMember,
  meanwhile: (kill: () => void) => Promise<void>,
): Promise<boolean> {
  await using running = member.startRotate('--no-wait');
  const hasStarted = running.untilStdout(/"step":"started"/).then(() => true);
  if (!(await Promise.race([hasStarted, running.ended.then(() => false)]).catch(() => false))) return false;
  await meanwhile(() => running.kill('SIGKILL'));
  await running.ended;
  return true;
}

interface Struck {
  readonly fleet: RotationFleet;
  readonly member: RotationMember;
  readonly luck: Chance;
}

async function strike(what: Strike, { fleet, member, luck }: Struck): Promise<void> {
  if (what === 'kill a member') {
    await member.kill();
    void pause(luck.between(0, AWAY_MS)).then(() => member.restart());
  }
  if (what === 'cut a member off') {
    member.relay.mode = 'swallow';
    void pause(luck.between(5000, 2 * AWAY_MS)).then(() => {
      member.relay.mode = 'pass';
      member.relay.reset();
    });
  }
  if (what === 'wipe the store') await fleet.store.ask('FLUSHALL');
  if (what === 'kill the store') {
    await fleet.store.kill();
    await pause(luck.between(0, 3000));
    await fleet.store.restart();
  }
}

/** Whether the client has one secret, which works and is in all files. */
export async function haveOneSecret(fleet: SecretsOfFleet): Promise<boolean> {
  return (await haveSameSecret(fleet)) && (await fleet.secretsAtIam()).length === 1;
}

/** The same, but the client may still have the one before. */
export async function haveSameSecret(fleet: SecretsOfFleet): Promise<boolean> {
  const [value = '', ...others] = new Set(fleet.members.map((member) => member.secret()));
  return others.length === 0 && (await fleet.accepts(value));
}

type SecretsOfFleet = Pick<RotationFleet, 'members' | 'accepts' | 'secretsAtIam'>;

/** Notes each moment at which a secret in a file gets no token. */
export function watchSecrets(fleet: SecretsOfFleet, wrong: Set<string>): { stop(): void } {
  let goesOn = true;
  void (async () => {
    while (goesOn) {
      for (const [at, member] of fleet.members.entries()) {
        const value = member.secret();
        if (!(await fleet.accepts(value)) && member.secret() === value) wrong.add(`member ${at} had no working secret`);
      }
      if ((await fleet.secretsAtIam()).length > 2) wrong.add('more than two secrets at IAM');
      await pause(200);
    }
  })();
  return {
    stop() {
      goesOn = false;
    },
  };
}

function note(wrong: Set<string>): (error: unknown) => void {
  return (error) => void wrong.add(String(error));
}
