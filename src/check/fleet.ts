/**
 * Checks the store that a fleet shares: whether it can be reached and used, how it is set up, and whether the members have
 * the same key. Gives only warnings, because without the store each sidecar fetches its own tokens.
 */
import type { LoadedConfig } from '../config/load.ts';
import { isLoopback } from '../config/parsers.ts';
import { type Inspection, openInspection } from '../fleet/inspection.ts';
import { type MemberView, readMembers, storeTime } from '../fleet/members.ts';
import { createSealer } from '../fleet/seal.ts';
import { faultOf } from '../fleet/store-fault.ts';
import { within } from '../net/bounded-request.ts';
import { FINDING, type Finding, shown } from './finding.ts';
import { rightsFinding } from './fleet-rights.ts';

const SUBJECT = 'fleet';
const LIMIT_MS = 12_000;
const MAX_SKEW_S = 30;
/** The first version with rights for channels. */
const OLDEST = [6, 2] as const;
const MAX_NAMED = 5;

type FleetConfig = NonNullable<LoadedConfig['config']['fleet']>;

/** Tries the store; `loaded` must have `fleet`. Never rejects. */
export function fleetFindings(loaded: LoadedConfig): Promise<Finding[]> {
  const late = () => [warning('fleet_timeout', 'the fleet store is too slow for this check', 'look at its load')];
  return within(LIMIT_MS, examine(loaded), late);
}

async function examine(loaded: LoadedConfig): Promise<Finding[]> {
  const { fleet } = loaded.config;
  if (!fleet) return [];
  try {
    using store = await openInspection(loaded);
    return [
      await reached(store, fleet),
      ...plainText(fleet),
      await rightsFinding(store),
      ...(await settingFindings(store)),
      await clockFinding(store),
      await membersFinding(store, loaded),
    ];
  } catch (error) {
    const { cause, problem, fix } = faultOf(error);
    const code = String((error as { code?: unknown } | null)?.code ?? '');
    const detail = [addressOf(fleet), ...(code === '' ? [] : [shown(code)])].join(', ');
    const message = `${problem} (${detail}); each sidecar fetches its own tokens meanwhile`;
    return [FINDING.warning(SUBJECT, 'TOKEN_UNAVAILABLE', { cause: `fleet_${cause}`, message, fix })];
  }
}

function warning(cause: string, message: string, fix: string): Finding {
  return FINDING.warning(SUBJECT, 'CONFIG_INVALID', { cause, message, fix });
}

async function reached(store: Inspection, fleet: FleetConfig): Promise<Finding> {
  const { name, version } = await store.server();
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const what = `${shown(name)} ${shown(version)}`;
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]))
    return warning('fleet_store_old', `the fleet store is ${what}`, `update it to ${OLDEST.join('.')} or later`);
  const user = fleet.url?.user ?? fleet.user;
  const as = user === undefined ? '' : ` as user ${shown(user)}`;
  return FINDING.ok(SUBJECT, `${addressOf(fleet)} reached${as}, ${isSecure(fleet) ? 'with' : 'without'} TLS, ${what}`);
}

function plainText(fleet: FleetConfig): Finding[] {
  const hosts = nodesOf(fleet).map(({ host }) => host);
  if (isSecure(fleet) || hosts.every(isLoopback)) return [];
  const message = 'the connection to the fleet store has no TLS, so the network can read its password';
  return [warning('fleet_plain_text', message, 'use rediss:// in fleet.url, or set fleet.tls')];
}

/** Reads how the store is set up; a user who may not see that is normal. */
async function settingFindings(store: Inspection): Promise<Finding[]> {
  const memory = await infoOf(store, 'memory');
  const persistence = await infoOf(store, 'persistence');
  const save = await store.ask('CONFIG', 'GET', 'save').catch(() => undefined);
  return [
    evictionFinding(memory),
    persistenceFinding(persistence?.get('aof_enabled'), Array.isArray(save) ? String(save[1] ?? '') : undefined),
  ];
}

async function infoOf(store: Inspection, section: string): Promise<ReadonlyMap<string, string> | undefined> {
  const reply = await store.ask('INFO', section).catch(() => undefined);
  if (typeof reply !== 'string') return undefined;
  return new Map(
    reply.split('\r\n').flatMap((line) => {
      const [, name, value] = /^(\w+):(.*)$/.exec(line) ?? [];
      return name === undefined || value === undefined ? [] : [[name, value] as const];
    }),
  );
}

function evictionFinding(memory: ReadonlyMap<string, string> | undefined): Finding {
  const policy = memory?.get('maxmemory_policy');
  if (policy === undefined) return FINDING.ok(SUBJECT, 'eviction policy unknown: this user may not run INFO');
  if (policy === 'noeviction') return FINDING.ok(SUBJECT, 'it evicts nothing');
  const message = `the fleet store evicts entries when its memory is full (maxmemory-policy ${shown(policy)}); each one lost is a further token request`;
  return warning('fleet_eviction', message, 'set maxmemory-policy noeviction, and give the fleet a store of its own');
}

/** @param aof `1` or `0` @param save the times at which it writes a snapshot; empty = never; undefined = not known */
function persistenceFinding(aof: string | undefined, save: string | undefined): Finding {
  if (aof === '1' || (save !== undefined && save !== '')) {
    const how = aof === '1' ? 'appendonly yes' : `save ${shown(save)}`;
    const message = `the fleet store writes its values to disk (${how}); they are sealed, but outlive the tokens in backups`;
    return warning('fleet_persistence', message, 'set appendonly no and save "": nothing in it must survive a restart');
  }
  const isKnown = aof !== undefined && save !== undefined;
  return FINDING.ok(
    SUBJECT,
    isKnown ? 'it writes nothing to disk' : 'persistence unknown: this user may not run INFO and CONFIG GET',
  );
}

async function clockFinding(store: Inspection): Promise<Finding> {
  const before = Date.now();
  const theirs = storeTime(await store.ask('TIME'));
  const skewS = Math.round((theirs - (before + Date.now()) / 2) / 1000);
  if (Math.abs(skewS) <= MAX_SKEW_S) return FINDING.ok(SUBJECT, 'its clock agrees with this machine’s');
  const way = skewS > 0 ? 'ahead of' : 'behind';
  const message = `the clock of the fleet store is ${Math.abs(skewS)} s ${way} this machine’s; shared tokens do not depend on it`;
  return warning('fleet_clock', message, 'check NTP on both');
}

async function membersFinding(store: Inspection, loaded: LoadedConfig): Promise<Finding> {
  const sealer = createSealer(loaded.fleetSecrets?.keys ?? []);
  try {
    return judge((await readMembers(store, sealer)).list, sealer.keyId);
  } catch (error) {
    if (faultOf(error).cause !== 'denied') throw error;
    return FINDING.ok(SUBJECT, 'members unknown: this user may not run HGETALL and ZRANGE');
  }
}

function judge(members: readonly MemberView[], keyId: string): Finding {
  const others = members.filter((member) => member.keyId !== keyId);
  const count = `${members.length} ${members.length === 1 ? 'member' : 'members'}`;
  if (others.length === 0) return FINDING.ok(SUBJECT, `${count} now, none with another key than ${keyId}`);
  const names = others.slice(0, MAX_NAMED).map(({ id, details }) => shown(details?.host ?? id));
  const more = others.length > MAX_NAMED ? ' and others' : '';
  const message = `${others.length} of ${count} seal with another key than ${keyId} (${names.join(', ')}${more}), so they share no token with this sidecar`;
  return warning(
    'fleet_other_keys',
    message,
    'finish the key change (docs/tokens.md, section Fleet), or give all the same fleet.keys',
  );
}

function isSecure({ url, tls }: FleetConfig): boolean {
  return url?.secure === true || tls !== undefined;
}

function nodesOf({ url, nodes, sentinel }: FleetConfig) {
  return url ? [url] : (nodes ?? sentinel?.nodes ?? []);
}

function addressOf(fleet: FleetConfig): string {
  return nodesOf(fleet)
    .map(({ host, port }) => `${host}:${port}`)
    .join(', ');
}
