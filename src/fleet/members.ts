/**
 * The members of a fleet, as they say of themselves with each heartbeat. What is read here is checked for its form. Only members
 * with a key of the fleet can say something; a store that hides one of them cannot get a secret deleted that it still needs for
 * a day: see places.ts.
 */
import { GIVEN_UP_MS, type Holding } from './places.ts';
import { memberKeys, type ScriptName } from './scripts.ts';
import type { Sealer } from './seal.ts';

export interface MemberView {
  readonly id: string;
  /** Of the key that it seals with. */
  readonly keyId: string;
  /** Since its last heartbeat, by the store's clock. */
  readonly ageS: number;
  /** Undefined: sealed with a key that is not in this configuration, or changed since. */
  readonly details:
    | {
        readonly host: string;
        readonly version: string;
        /** Fingerprints of its client secrets, each once, sorted. */
        readonly secrets: readonly string[];
        /** What it says of each client secret. Undefined: it has just started. */
        readonly holdings: readonly Holding[] | undefined;
      }
    | undefined;
}

const ID = /^[0-9a-f]{16}$/;
const SEALED = /^([0-9a-f]{8}):(.+)$/;
const FINGERPRINT = /^[0-9a-f]{8}$/;
/** Of a member that is not heard of any more; as for the heartbeat. */
const GONE_S = 30;
/** For some thousand credentials: a member that is not read is one that nobody waits for. */
const MAX_SEALED = 1024 * 1024;
const MAX_TEXT = 255;

/** The store, as far as members are read from it. */
export interface MemberStore {
  /** Prefix of all names, as configured. */
  readonly prefix: string;
  run(script: 'members', keys: readonly string[], args: readonly string[]): Promise<unknown>;
}

/** One member's way into the store. */
export interface FleetAccess extends MemberStore {
  readonly channel: string;
  readonly sealer: Sealer;
  /** Of this member, unique in the fleet. */
  readonly member: string;
  readonly host: string;
  /** Runs a script. @throws SidecarError ROTATION_STORE_FAILED */
  run(script: ScriptName, keys: readonly string[], args: readonly string[]): Promise<unknown>;
}

export interface Members {
  /** Of the store, epoch ms. */
  readonly nowMs: number;
  /** Since when there was always one, as far as the store remembers. */
  readonly sinceMs: number;
  /** The live ones, heard of last first. */
  readonly list: readonly MemberView[];
  /** What hosts with secrets said last that have been silent for longer, but not for a day. */
  readonly silent: readonly MemberView[];
}

/** Reads the members. @throws the store's error, for `faultOf` */
export async function readMembers(store: MemberStore, sealer: Sealer): Promise<Members> {
  const [now, since, details, times, heard, heardTimes] = (await store.run(
    'members',
    memberKeys(store.prefix),
    [],
  )) as unknown[];
  const nowMs = Number(now);
  const live = saidOf(details, times, nowMs).filter(({ ageS }) => ageS <= GONE_S);
  // One without a time, which a store has evicted, is as old as can be.
  const silent = saidOf(heard, heardTimes, nowMs).filter(({ ageS }) => ageS > GONE_S && ageS < GIVEN_UP_MS / 1000);
  const unnamed = silent.map(({ value, ageS }) => {
    const [id = '', ...rest] = value.split(':');
    return { id, value: rest.join(':'), ageS };
  });
  return {
    nowMs,
    sinceMs: Number(since),
    list: await readAll(live, sealer),
    silent: await readAll(unnamed, sealer),
  };
}

interface Said {
  readonly id: string;
  readonly value: string;
  readonly ageS: number;
}

function saidOf(details: unknown, times: unknown, nowMs: number): Said[] {
  const at = pairsOf(times);
  const ageOf = (name: string) => Math.max(0, (nowMs - Number(at.get(name) ?? 0)) / 1000);
  return [...pairsOf(details)].map(([id, value]) => ({ id, value, ageS: ageOf(id) }));
}

async function readAll(said: readonly Said[], sealer: Sealer): Promise<MemberView[]> {
  const read = await Promise.all(
    said.map(async ({ id, value, ageS }) => {
      const member = await readMember(id, value, sealer);
      return member && { ...member, ageS };
    }),
  );
  const members = read.filter((member) => member !== undefined);
  return members.sort((one, other) => one.ageS - other.ageS || one.id.localeCompare(other.id));
}

/** Returns epoch ms from the reply of TIME. */
export function storeTime(reply: unknown): number {
  const [seconds, micros] = Array.isArray(reply) ? reply : [];
  return Number(seconds) * 1000 + Number(micros) / 1000;
}

/** Returns the members for which `compared` differs from what most have; undefined is not compared. */
export function outliers(
  members: readonly MemberView[],
  compared: (member: MemberView) => string | undefined,
): readonly MemberView[] {
  const groups = Map.groupBy(members, compared);
  groups.delete(undefined);
  const [, ...others] = [...groups.values()].sort((one, other) => other.length - one.length);
  return others.flat();
}

async function readMember(id: string, value: string, sealer: Sealer): Promise<Omit<MemberView, 'ageS'> | undefined> {
  const [, keyId, sealed] = value.length <= MAX_SEALED ? (SEALED.exec(value) ?? []) : [];
  if (keyId === undefined || sealed === undefined || !ID.test(id)) return undefined;
  const opened = await sealer.open({ name: `member ${id}`, generation: '0' }, sealed);
  return { id, keyId, details: typeof opened === 'string' ? undefined : detailsOf(opened.content) };
}

function detailsOf({ host, version, secrets, holdings }: Readonly<Record<string, unknown>>): MemberView['details'] {
  const isText = (value: unknown): value is string => typeof value === 'string' && value.length <= MAX_TEXT;
  if (!isText(host) || !isText(version) || !Array.isArray(secrets)) return undefined;
  const known = [...new Set(fingerprintsOf(secrets))].sort();
  return { host, version, secrets: known, holdings: Array.isArray(holdings) ? holdings.flatMap(holdingOf) : undefined };
}

function holdingOf(said: unknown): Holding[] {
  const { client, place, secrets, isKept } = (said ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof client !== 'string' || typeof place !== 'string' || !Array.isArray(secrets)) return [];
  return [{ client, place, secrets: fingerprintsOf(secrets), isKept: isKept === true }];
}

function fingerprintsOf(list: readonly unknown[]): string[] {
  return list.filter((secret): secret is string => typeof secret === 'string' && FINGERPRINT.test(secret));
}

/** Names and values that a reply lists in turn. */
function pairsOf(reply: unknown): Map<string, string> {
  const list = Array.isArray(reply) ? reply.map(String) : [];
  return new Map(list.flatMap((name, at) => (at % 2 === 0 ? [[name, list[at + 1] ?? ''] as const] : [])));
}
