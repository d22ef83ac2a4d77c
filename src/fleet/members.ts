/**
 * The members of a fleet, as they say of themselves with each heartbeat. Everything read here may be false: it is checked for
 * its form before it is shown, and nothing depends on it.
 */
import type { Inspection } from './inspection.ts';
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
      }
    | undefined;
}

const ID = /^[0-9a-f]{16}$/;
const SEALED = /^([0-9a-f]{8}):(.+)$/;
const FINGERPRINT = /^[0-9a-f]{8}$/;
/** Of a member that is not heard of any more; as for the heartbeat. */
const GONE_S = 30;
const MAX_SEALED = 16 * 1024;
const MAX_TEXT = 255;

/** Returns the live members, the ones heard of last first. @throws the store's error, for `faultOf` */
export async function readMembers(store: Inspection, sealer: Sealer): Promise<MemberView[]> {
  const key = (what: string) => `${store.prefix}:{members}:${what}`;
  const details = await store.ask('HGETALL', key('details'));
  const scores = await store.ask('ZRANGE', key('times'), '0', '-1', 'WITHSCORES');
  const nowMs = storeTime(await store.ask('TIME'));
  const list = Array.isArray(details) ? details.map(String) : [];
  const times = timesOf(scores);
  const members: MemberView[] = [];
  for (let at = 0; at + 1 < list.length; at += 2) {
    const [id = '', value = ''] = list.slice(at, at + 2);
    const ageS = Math.max(0, (nowMs - (times.get(id) ?? 0)) / 1000);
    const member = ageS <= GONE_S ? await readMember(id, value, sealer) : undefined;
    if (member) members.push({ ...member, ageS });
  }
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

function detailsOf({ host, version, secrets }: Readonly<Record<string, unknown>>): MemberView['details'] {
  const isText = (value: unknown): value is string => typeof value === 'string' && value.length <= MAX_TEXT;
  if (!isText(host) || !isText(version) || !Array.isArray(secrets)) return undefined;
  const known = secrets.filter((secret): secret is string => typeof secret === 'string' && FINGERPRINT.test(secret));
  return { host, version, secrets: [...new Set(known)].sort() };
}

/** Pairs of name and score, each pair a list of its own or not, by the version of the store's protocol. */
function timesOf(reply: unknown): Map<string, number> {
  const flat = Array.isArray(reply) ? reply.flat().map(String) : [];
  return new Map(flat.flatMap((name, at) => (at % 2 === 0 ? [[name, Number(flat[at + 1])] as const] : [])));
}
