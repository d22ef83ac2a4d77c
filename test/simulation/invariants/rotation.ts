/** What docs/rotation.md promises of the client's secrets. */
import { CLIENT } from '../world/iam/administrator.ts';
import type { StoredSecret } from '../world/iam/iam-server.ts';
import type { Observation } from '../world/observation.ts';
import type { World } from '../world/world.ts';
import type { Invariant } from './invariants.ts';

type Violated = (detail: string) => void;

export const storesWholeSecrets: Invariant = {
  sentence:
    'The secret file always holds a whole secret, and a rotation stores only one that IAM has and the identity server accepts. Excused: one that somebody deleted by hand, or that has expired, while the rotation was under way; what a power cut brings back.',
  watch(world, violated) {
    const { disk } = world.platform;
    const last = new Map(world.hosts.map((host) => [host, world.iam?.administrator.storedOn(host)]));
    let powerLosses = 0;
    return (observation) => {
      const isBroughtBack = disk.powerLosses > powerLosses;
      powerLosses = disk.powerLosses;
      for (const host of world.iam ? world.hosts : []) {
        const stored = world.iam?.administrator.storedOn(host);
        if (stored === last.get(host)) continue;
        last.set(host, stored);
        check(observation, stored, isBroughtBack);
      }
    };
    function check(observation: Observation, stored: string | undefined, isBroughtBack: boolean): void {
      const { iam } = world;
      if (!iam) return;
      const same = iam.server.secrets.filter(({ value }) => value === stored);
      if (same.length === 0) violated(`it holds ${JSON.stringify(stored)}`);
      if (observation.kind === 'storedByHand' || stored === undefined || isBroughtBack) return;
      if (same.some((secret) => iam.server.isLive(secret)) && iam.server.accepts(CLIENT, stored)) return;
      if (same.some((secret) => iam.hasTakenAway(secret)))
        world.observe({ kind: 'excused', why: 'stored what was deleted' });
      else violated(`it holds ${stored}, which does not work`);
    }
  },
};

export const hasWorkingSecret: Invariant = {
  sentence:
    'A rotation never deletes the secret in the file, and never the last secret that works: only people take it away.',
  watch: (world, violated) => (observation) => {
    if (observation.kind !== 'secretDeleted' || !observation.by || !world.iam) return;
    const { secret, by } = observation;
    const { server, administrator } = world.iam;
    if (secret.clientId !== CLIENT) return;
    const live = server.secretsOf(CLIENT).filter((other) => server.isLive(other));
    const wasLive = world.platform.time.nowMs < secret.expiresAt;
    if (!wasLive) return;
    if (live.length === 0) violated(`${by.name} deletes ${secret.id}, the last one`);
    // Of a fleet, another invariant knows which hosts count.
    if (!world.fleet && secret.value === administrator.stored && !live.some(({ value }) => value === secret.value))
      violated(`${by.name} deletes ${secret.id}, which the file holds`);
  },
};

export const journalIsWhole: Invariant = {
  sentence: 'A kill or a power cut leaves the journal of a rotation whole: as it was, or as it was to be.',
  watch(world, violated) {
    let last: Buffer | undefined;
    return () => {
      const bytes = world.iam?.administrator.journalBytes;
      if (bytes === last) return;
      last = bytes;
      if (bytes && !world.iam?.administrator.journal) violated(`it holds ${bytes.length} bytes that are none`);
    };
  },
};

export const abandonsOnlyRefused: Invariant = {
  sentence: 'A rotation gives up a new secret only when the last try with it was refused.',
  watch(world, violated) {
    const accepted = new Map<string, boolean>();
    return (observation) => {
      if (observation.kind === 'secretTried') accepted.set(observation.secret, observation.isAccepted);
      if (observation.kind !== 'secretDeleted' || !observation.by || !world.iam) return;
      const { secret, by } = observation;
      const { attempt } = world.iam.administrator.journal ?? {};
      if (attempt?.phase === 'abandoned' && attempt.value === secret.value && accepted.get(secret.value))
        violated(`${by.name} deletes ${secret.id}`);
    };
  },
};

export const keepsOverlap: Invariant = {
  sentence:
    'The secret that the file held stays valid for `overlap` after the new one is stored, by the clock of the machine or by true time.',
  watch(world, violated) {
    let last: string | undefined;
    let offsetMs = 0;
    const replaced = new Map<string, { readonly wallMs: number; readonly trueMs: number }>();
    return (observation) => {
      const { iam, platform, sidecar } = world;
      if (!iam || world.fleet) return;
      const trueMs = platform.time.nowMs;
      const now = { trueMs, wallMs: sidecar.machine.wallMs(trueMs) };
      const { stored, storedAt } = iam.administrator;
      // The clock may have been set since it was stored.
      const wallMs = storedAt + Math.min(offsetMs, now.wallMs - trueMs);
      offsetMs = now.wallMs - trueMs;
      if (stored !== last && last !== undefined) replaced.set(last, { trueMs: storedAt, wallMs });
      last = stored;
      if (observation.kind !== 'secretDeleted' || !observation.by) return;
      const since = replaced.get(observation.secret.value);
      if (!since || trueMs >= observation.secret.expiresAt) return;
      const keptMs = Math.max(now.trueMs - since.trueMs, now.wallMs - since.wallMs);
      if (keptMs < msOf(iam.part.overlap))
        violated(`${observation.by.name} deletes ${observation.secret.id} after ${keptMs} ms`);
    };
  },
};

export const isAtMostTwo: Invariant = {
  sentence:
    'A rotation never creates a third valid secret. A secret that was created twice, because the first request was not acknowledged, is one. Excused: one that IAM got after it had told of the others.',
  watch: (world, violated) => (observation) => {
    if (observation.kind !== 'secretCreated' || !observation.secret.by || !world.iam) return;
    const { secret, known } = observation;
    const { server } = world.iam;
    const nowMs = Math.max(
      world.platform.time.nowMs,
      (secret.by?.machine ?? world.sidecar.machine).wallMs(world.platform.time.nowMs),
    );
    const isOther = (other: StoredSecret) => other.value !== secret.value && nowMs < other.expiresAt;
    const others = server.secretsOf(secret.clientId).filter((other) => server.isLive(other) && isOther(other));
    const told = others.filter(({ id }) => known.has(id));
    if (new Set(told.map(({ value }) => value)).size >= 2)
      violated(`${secret.by?.name} creates ${secret.id} beside ${told.map(({ id }) => id).join(', ')}`);
    else if (new Set(others.map(({ value }) => value)).size >= 2)
      world.observe({ kind: 'excused', why: 'a third secret at the same moment' });
  },
};

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const UNITS_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: HOUR_MS, d: DAY_MS };

interface KnownJournal {
  readonly since: number;
  readonly rotatedAt?: number;
  readonly current?: { readonly clientSecretId: string };
  readonly attempt?: { readonly phase: string; readonly retireAt?: number };
}

export const rotationFinishes: Invariant = {
  sentence:
    'An hour, the overlap and ten minutes after the last fault, no rotation is due and none is unfinished but for its overlap, by the clock of its machine.',
  watch: (world, violated) => (observation) => {
    const late = observation.kind === 'settled' ? lateRotation(world) : undefined;
    if (late) violated(late);
  },
};

/** @returns what is late; undefined when nothing is */
export function lateRotation(world: World): string | undefined {
  if (!world.iam) return undefined;
  const journal = world.iam.administrator.journal as KnownJournal | undefined;
  // The host that has it next to its secret is gone; then it is in the store, and in the memory of the others.
  const isOnlyInStore = world.members.hasLostOne && world.fleet?.store.hasJournal;
  if (!journal) return isOnlyInStore ? undefined : 'there is no journal';
  const trueMs = world.platform.time.nowMs;
  const nowMs = Math.min(...world.hosts.map(({ machine }) => machine.wallMs(trueMs)));
  const { attempt, rotatedAt, since } = journal;
  const isInOverlap =
    attempt?.phase === 'promoted' && (nowMs < (attempt.retireAt ?? 0) + TICK_MS || world.fleet?.hasUnreadWords);
  if (attempt) return isInOverlap ? undefined : `one is ${attempt.phase}`;
  const dueAt = (rotatedAt ?? since) + msOf(world.iam.part.every);
  // In a fleet, by the clock of its store.
  return dueAt + LATEST_MS < (world.fleet ? trueMs : nowMs)
    ? `one is due since ${new Date(dueAt).toISOString()}`
    : undefined;
}

const TICK_MS = 30_000;
const LATEST_MS = 600_000;

export function msOf(text: string): number {
  return Number.parseInt(text, 10) * (UNITS_MS[text.at(-1) ?? ''] ?? 0);
}

export const leavesNoOrphan: Invariant = {
  sentence:
    'When the last run has finished, IAM has no secret of ours but the one in the file, and those of a further rotation that has begun since: the one that it makes, and the one that it replaces. Excused: a run that waits for a host that had another fleet key within the last day.',
  watch: (world, violated) => (observation) => {
    if (observation.kind === 'rotatedLast' && world.iam) checkOrphans(world, observation, violated);
  },
};

function checkOrphans(world: World, { hasRotated }: Observation & { kind: 'rotatedLast' }, violated: Violated): void {
  const { server, administrator } = world.iam ?? {};
  if (!server) return;
  if (!hasRotated) {
    if (world.fleet?.hasUnreadWords) world.observe({ kind: 'excused', why: 'words with another fleet key' });
    else violated('the last run has not rotated');
    return;
  }
  const journal = administrator?.journal as KnownJournal | undefined;
  // A member whose clock is a day ahead begins the next one at once.
  const known = [journal?.current?.clientSecretId, ...(administrator?.journal?.attempt?.retire ?? [])];
  const making = administrator?.journal?.attempt?.description;
  const isKnown = ({ id, description }: StoredSecret) => known.includes(id) || description === making;
  const left = server.secretsOf(CLIENT).filter((secret) => !isKnown(secret));
  const orphans = left.filter(({ by }) => by !== undefined);
  if (orphans.length > 0) violated(orphans.map(({ id, description }) => `${id} (${description})`).join(', '));
  const kept = server.secretsOf(CLIENT).find(({ id }) => id === journal?.current?.clientSecretId);
  if (kept?.value !== administrator?.stored) violated('the file does not hold the current secret');
}

export const deletesOnlyItsOwn: Invariant = {
  sentence:
    'A rotation deletes only secrets that a rotation has made, and those that the file of a host has held: not one that people have made for something else. Excused: the only one, when people have deleted the one in the file, which the identity server may still accept.',
  watch(world, violated) {
    const held = new Set<string | undefined>();
    return (observation) => {
      const { iam } = world;
      if (!iam) return;
      for (const host of world.hosts) held.add(iam.administrator.storedOn(host));
      if (observation.kind !== 'secretDeleted' || !observation.by) return;
      const { secret, by } = observation;
      const isHeldGone = iam.server.secrets.some((other) => held.has(other.value) && iam.hasTakenAway(other));
      if (secret.clientId === CLIENT && !secret.by && !held.has(secret.value) && !isHeldGone)
        violated(`${by.name} deletes ${secret.id}`);
    };
  },
};
