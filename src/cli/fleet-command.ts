/**
 * `fleet key` and `fleet status`: a new key, and what the store of a fleet shows of its members. Prints no value of the store,
 * only what members say of themselves, and numbers.
 */
import { randomBytes } from 'node:crypto';
import { styleText } from 'node:util';
import { type LoadedConfig, loadConfig } from '../config/load.ts';
import { withPrograms } from '../config/secret-programs.ts';
import { SidecarError } from '../core/errors.ts';
import { createReport, type Output, visible } from '../core/terminal.ts';
import { openInspection } from '../fleet/inspection.ts';
import { type MemberView, outliers, readMembers } from '../fleet/members.ts';
import { createSealer } from '../fleet/seal.ts';
import { faultOf } from '../fleet/store-fault.ts';
import type { Flags } from './flags.ts';

const OK = 0;
const UNREACHABLE = 6;
const KEY_BYTES = 32;

/** Prints one new key of 256 bits, and nothing else. */
export function printFleetKey(output: Output): number {
  output.write(`${randomBytes(KEY_BYTES).toString('base64url')}\n`);
  return OK;
}

interface View {
  readonly store: string;
  /** Of this configuration. */
  readonly keyId: string;
  readonly members: readonly MemberView[];
  /** Undefined: this user may not count, or there is too much to count. */
  readonly tokens: number | undefined;
  readonly warnings: readonly string[];
}

/**
 * Prints the members of the fleet.
 * @returns the exit code: 0, or 6 when the store cannot be used
 * @throws SidecarError CONFIG_INVALID, also without a fleet in the configuration
 */
export async function showFleet(flags: Flags, output: Output & NodeJS.WritableStream): Promise<number> {
  const file = flags['config'] as string | undefined;
  const loaded = await withPrograms((printed) => loadConfig({ file, printed }));
  if (!loaded.config.fleet) throw noFleet(loaded.file);
  const report = createReport(output, flags['json'] === true);
  try {
    const view = await look(loaded);
    if (report.json) report.line({ text: '', data: { ...view } });
    else output.write(`${linesOf(view, output).join('\n')}\n`);
    return OK;
  } catch (error) {
    const { cause, problem: message, fix } = faultOf(error);
    if (report.json) report.line({ text: '', data: { reachable: false, cause, message, fix } });
    else process.stderr.write(`${visible(message)}\n  → ${visible(fix)}\n`);
    return UNREACHABLE;
  }
}

function noFleet(file: string | undefined): SidecarError {
  const where = file ?? 'the configuration';
  const message = 'is missing: set fleet.url and fleet.keys, see docs/tokens.md, section Fleet';
  return new SidecarError('CONFIG_INVALID', { problems: [{ where, path: 'fleet', message }] });
}

async function look(loaded: LoadedConfig): Promise<View> {
  const sealer = createSealer(loaded.fleetSecrets?.keys ?? []);
  using store = await openInspection(loaded);
  const { name, version } = await store.server();
  const { list: members, silent } = await readMembers(store, sealer);
  return {
    store: `${name} ${version}`,
    keyId: sealer.keyId,
    members,
    tokens: await store.countTokens().catch(() => undefined),
    warnings: [...warningsOf(members, sealer.keyId), ...silent.filter(isUnheard(members)).map(waitedFor)],
  };
}

function warningsOf(members: readonly MemberView[], keyId: string): string[] {
  const warnings = outliers(members, (member) => member.keyId).map(
    (member) => `${nameOf(member)} has the key ${member.keyId}, most have another one: they share nothing with it`,
  );
  if (members.length > 0 && members.every((member) => member.keyId !== keyId))
    warnings.push(`no member has the first key of this configuration, ${keyId}`);
  const secretsOf = ({ details }: MemberView) => details?.secrets.join(', ') || undefined;
  const others = outliers(members, secretsOf);
  return [
    ...warnings,
    ...others.map((member) => `${nameOf(member)} has other client secrets than most: ${secretsOf(member)}`),
  ];
}

/** Tells of a silent host whether a rotation waits for it: not if a member that lives has the same secret in the same place. */
function isUnheard(members: readonly MemberView[]): (silent: MemberView) => boolean {
  const placesOf = ({ details }: MemberView) => (details?.holdings ?? []).map(({ place }) => place);
  const live = new Set(members.flatMap(placesOf));
  return (silent) => !silent.details || placesOf(silent).some((place) => !live.has(place));
}

function waitedFor(silent: MemberView): string {
  const [hours, minutes] = [Math.floor(silent.ageS / 3600), Math.floor((silent.ageS / 60) % 60)];
  const name = silent.details ? nameOf(silent) : `${silent.id}, with the key ${silent.keyId},`;
  return `${name} was heard of last ${hours} h ${minutes} min ago: for 24 h, no secret that it may need is deleted`;
}

function nameOf({ id, details }: MemberView): string {
  return details ? `${details.host} (${id})` : id;
}

function linesOf({ store, keyId, members, tokens, warnings }: View, stream: NodeJS.WritableStream): string[] {
  const head = `${store}: ${counted(members.length, 'member')}, ${tokens === undefined ? 'number of tokens not known' : `${counted(tokens, 'token')} shared`}; key of this configuration: ${keyId}`;
  const rows = members.map(({ id, keyId: key, ageS, details }) => [
    ...[id, details?.host ?? 'not readable', details?.version ?? ''],
    ...[`${Math.round(ageS)} s ago`, key, details?.secrets.join(', ') ?? ''],
  ]);
  return [
    visible(head),
    ...(rows.length > 0 ? table([['MEMBER', 'HOST', 'VERSION', 'SEEN', 'KEY', 'SECRETS'], ...rows]) : []),
    ...warnings.map((text) => styleText('yellow', `warning: ${visible(text)}`, { stream })),
  ];
}

function counted(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

function table(rows: readonly (readonly string[])[]): string[] {
  const cells = rows.map((row) => row.map(visible));
  const widths = (cells[0] ?? []).map((_, at) => Math.max(...cells.map((row) => row[at]?.length ?? 0)));
  return cells.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
