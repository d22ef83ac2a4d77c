/**
 * Loads the configuration (flags > environment > file > preset > default) and the secrets it names. Only this file
 * reads the environment. Reports all problems at once, each with its place and what is allowed. No message repeats a
 * value.
 */
import { resolve } from 'node:path';
import { LineCounter } from 'yaml';
import { SidecarError } from '../core/errors.ts';
import type { Secret } from '../core/secret.ts';
import { INPUTS } from './env-and-flags.ts';
import { type ProxySettings, readProxy, readSurroundings, refuseEnvironment } from './environment.ts';
import { type ConfigFile, readConfigFile } from './file.ts';
import { warnOfAccess } from './file-access.ts';
import { type FleetSecrets, loadFleetSecrets } from './fleet-secrets.ts';
import { IamPartSchema, type IamUse, iamPart } from './iam-subset.ts';
import { reportDropped, reportIssue, wording } from './issues.ts';
import { applyInputs, type Doc, layer, type Override } from './layers.ts';
import { overlooked, variablesIn } from './overlooked.ts';
import type { Address } from './parsers.ts';
import { locate, type Problem } from './problems.ts';
import type { FileStates } from './regular-file.ts';
import { advise, checkRules, type Report, validParts } from './rules.ts';
import { type Config, ConfigSchema } from './schema.ts';
import { type LoadedSecret, loadCallerKeys, loadSecrets } from './secret-files.ts';
import { type PrintedBy, programEnvironment } from './secret-programs.ts';
import { checkExtraCa, loadTls, type TlsFiles } from './tls-files.ts';

type Env = Readonly<Record<string, string | undefined>>;

export interface LoadOptions {
  /** Values by flag name, `--listen` → value. */
  readonly flags?: Readonly<Record<string, string>>;
  /** Path given by `--config`. */
  readonly file?: string | undefined;
  /** Default: the process environment. */
  readonly env?: Env;
  /** Options of Node before the program; default: those of this process, or none when `env` is given. */
  readonly nodeArguments?: readonly string[];
  /** Base of relative file names; default: the working directory. */
  readonly cwd?: string;
  /** A whole document; file, flags and variables for options are then ignored. */
  readonly document?: Doc;
  /** Load only what commands for Aritma IAM need; the rest may be missing or wrong. */
  readonly iamOnly?: IamUse;
  /** What the programs of `exec` printed: see `withPrograms`. */
  readonly printed?: PrintedBy;
}

export interface LoadedConfig {
  readonly config: Config;
  /** By credential name, in the order they are tried. */
  readonly secrets: ReadonlyMap<string, readonly LoadedSecret[]>;
  readonly file: string | undefined;
  /** Returns the absolute path of a configured file name. */
  readonly resolve: (file: string) => string;
  /** The merged document before defaults, as a file would contain it. */
  readonly document: Doc;
  /** Options that a flag or a variable sets, with its name. */
  readonly inputs: readonly { readonly path: string; readonly source: string }[];
  /** Settings that work but should change. */
  readonly warnings: readonly string[];
  /** By caller name; empty = callers need no key. */
  readonly callerKeys: ReadonlyMap<string, readonly Secret[]>;
  /** TLS files by owner, `credential NAME`, `route PATH`, `callers` or `fleet`. */
  readonly tls: ReadonlyMap<string, TlsFiles>;
  /** Password and keys of the fleet store; undefined without one. */
  readonly fleetSecrets: FleetSecrets | undefined;
  /** From HTTPS_PROXY, HTTP_PROXY and NO_PROXY. */
  readonly proxy: ProxySettings | undefined;
  /** Socket to notify, when systemd started this process. */
  readonly supervisor: ReturnType<typeof readSurroundings>['supervisor'];
  /** Set in a Kubernetes pod. */
  readonly cluster: ReturnType<typeof readSurroundings>['cluster'];
  /** Every configured file with its state before it was read, for watching. */
  readonly files: ReadonlyMap<string, string>;
  /** Time that a program of `exec` took, ms; undefined: it is not one of this configuration. */
  programMs(command: readonly string[]): number | undefined;
  /** Reads the secrets of one credential again; reports and leaves out those that cannot be read. */
  secretsNow(credential: string, printed?: PrintedBy, report?: Report): readonly LoadedSecret[];
  /** Reads everything again from the same inputs; programs are not run. @throws like `loadConfig` */
  reload(printed?: PrintedBy): LoadedConfig;
}

/**
 * Loads and checks the whole configuration.
 * @throws SidecarError CONFIG_INVALID with all `problems`
 * @example loadConfig({ flags: { '--listen': '127.0.0.1:8080' }, file: 'aritma-sidecar.yaml' }).config.listen
 */
export function loadConfig(options: LoadOptions = {}): LoadedConfig {
  const { file, overrides, problems, env, cwd } = readInputs(options);
  // Node reads its CAs only at start, so a reload does not check them.
  const snapshot = { ...env, NODE_EXTRA_CA_CERTS: undefined };
  const { doc: whole, sources } = applyInputs(layer(file.doc, overrides), overrides);
  const where = (path: readonly PropertyKey[]) => locate(path, sources, file);
  const report: Report = (path, message) => problems.push({ where: where(path), path: path.join('.'), message });
  const doc = options.iamOnly ? iamPart(whole, options.iamOnly, report) : whole;
  const result = (options.iamOnly ? IamPartSchema : ConfigSchema).safeParse(doc, { error: wording });
  for (const issue of result.error?.issues ?? []) reportIssue(issue, report);
  reportDropped(doc, report);
  const parts = validParts(doc);
  checkRules(parts, report);
  const warnings: string[] = [];
  const files: FileStates = new Map(file.path === undefined ? [] : [[file.path, file.state]]);
  const programs = { printed: options.printed, env: programEnvironment(env, variablesIn(doc)) };
  const context = { env, cwd, report, warnings, files, programs };
  const secrets = loadSecrets(parts.credentials, context);
  const callerKeys = loadCallerKeys(parts.callers, context);
  const fleetSecrets = loadFleetSecrets(parts.fleet, context);
  const tls = loadTls(parts, { ...context, onKey: (path) => warnOfAccess(path, context) });
  checkExtraCa(env['NODE_EXTRA_CA_CERTS'], problems);
  const proxy = readProxy(env, problems);
  const ignored = options.document ? [] : overlooked({ env, cwd, file, doc });
  if (!result.success || problems.length > 0)
    throw new SidecarError('CONFIG_INVALID', { problems: [...problems, ...ignored] });
  const config = result.data;
  return {
    ...{ config, secrets, callerKeys, fleetSecrets, tls, proxy },
    ...readSurroundings(env),
    file: file.name,
    resolve: (name) => resolve(cwd, name),
    files,
    document: doc,
    inputs: sources.map(({ path, source }) => ({ path: path.join('.'), source })),
    warnings: [...ignored.map(({ where, message }) => `${where} ${message}`), ...warnings, ...advise(config)],
    programMs: (command) => options.printed?.({ command, env, cwd })?.ms,
    secretsNow(name, printed = options.printed, tell = () => undefined) {
      const mine = parts.credentials.filter(([credential]) => credential === name);
      const again = { env: snapshot, programs: { ...programs, printed }, warnings: [], files: new Map() };
      return loadSecrets(mine, { ...context, ...again, report: tell }).get(name) ?? [];
    },
    // A snapshot: `forgetSecretVariables` removes variables from the process environment.
    reload: (printed = options.printed) => loadConfig({ ...options, env: snapshot, ...(printed && { printed }) }),
  };
}

/**
 * Removes variables with secrets from the process, so that children and crash reports do not get them. The initial
 * environment stays readable in /proc/PID/environ, so files are the better source.
 */
export function forgetSecretVariables({ credentials, callers, fleet }: Config): void {
  const secrets = Object.values(credentials).map((credential) => credential.secrets);
  const keys = Object.values(callers.keys).map((caller) => caller.secrets);
  const ofFleet = fleet ? [...fleet.keys, ...(fleet.password ? [fleet.password] : [])] : [];
  for (const { env } of [...secrets, ...keys, ofFleet].flat()) {
    // biome-ignore lint/style/noProcessEnv: removes, never reads
    if (env !== undefined) delete process.env[env];
  }
}

/**
 * Returns the admin address, even if the rest of the configuration is not valid: a health check must work where the
 * secrets cannot be read.
 * @throws SidecarError CONFIG_INVALID
 */
export function loadAdminAddress(options: LoadOptions = {}): Address {
  const { file, overrides } = readInputs(options);
  const { doc, sources } = applyInputs(
    file.doc,
    overrides.filter(({ path }) => path[0] === 'admin'),
  );
  const result = ConfigSchema.shape.admin.safeParse(doc['admin'], { error: wording });
  const [address] = result.data ?? [];
  if (address !== undefined) return address;
  const where = locate(['admin'], sources, file);
  const problems = (result.error?.issues ?? []).map(({ message }) => ({ where, path: 'admin', message }));
  throw new SidecarError('CONFIG_INVALID', { problems });
}

interface Inputs {
  readonly file: ConfigFile;
  readonly overrides: readonly Override[];
  readonly env: Env;
  readonly cwd: string;
  /** Problems of the inputs themselves; the caller appends more. */
  readonly problems: Problem[];
}

/** Throws when the file cannot be parsed: all other problems would only be consequences. */
function readInputs(options: LoadOptions): Inputs {
  // biome-ignore lint/style/noProcessEnv: this is the one place that reads it
  const { flags = {}, env = process.env, cwd = '.', nodeArguments = options.env ? [] : process.execArgv } = options;
  const problems = refuseEnvironment(env, nodeArguments);
  if (options.document) return { file: fileOf(options.document), overrides: [], env, cwd, problems };
  const file = readConfigFile({ asked: options.file ?? (env['ARITMA_CONFIG'] || undefined), cwd });
  if ('problems' in file) throw new SidecarError('CONFIG_INVALID', { problems: [...problems, ...file.problems] });
  return { file, overrides: collectOverrides(flags, env, problems), env, cwd, problems };
}

function fileOf(doc: Doc): ConfigFile {
  return { name: 'the document given', path: undefined, state: '', doc, yaml: undefined, lines: new LineCounter() };
}

function collectOverrides(flags: Readonly<Record<string, string>>, env: Env, problems: Problem[]): Override[] {
  const given = INPUTS.flatMap((input) => {
    const flag = input.flag === undefined ? undefined : flags[input.flag];
    const { path } = input;
    if (flag !== undefined) return [{ path, value: typed(flag, input), source: `flag ${input.flag}`, byFlag: true }];
    // Compose files and service managers pass unset variables as empty.
    const value = env[input.env];
    if (!value) return [];
    const source = `environment variable ${input.env}`;
    return [{ path, value: path.at(-1) === 'env' ? input.env : typed(value, input), source, byFlag: false }];
  });
  const slotOf = ({ path }: Override) => (path.includes('secrets') ? path.slice(0, -1).join('.') : path.join('.'));
  return [...Map.groupBy(given, slotOf).values()].flatMap((rivals) => {
    const [first, second] = rivals.toSorted((a, b) => Number(b.byFlag) - Number(a.byFlag));
    if (first && second && first.byFlag === second.byFlag) {
      problems.push({
        where: first.source,
        path: '',
        message: `conflicts with ${second.source}: set only one of them`,
      });
    }
    return first ? [first] : [];
  });
}

/** Text that is not a number stays text, so that the schema reports it. */
function typed(text: string, { number }: (typeof INPUTS)[number]): string | number {
  return number && /^\d{1,9}$/.test(text) ? Number(text) : text;
}
