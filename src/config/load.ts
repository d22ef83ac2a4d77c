/**
 * Reads configuration from outside: flags > environment > file > preset > default, then the secrets it names. The only
 * reader of the environment. Finds every problem before it gives up, each with its place and what is allowed, and no
 * message ever repeats a value.
 */
import { resolve } from 'node:path';
import { LineCounter } from 'yaml';
import { SidecarError } from '../core/errors.ts';
import type { Secret } from '../core/secret.ts';
import { INPUTS } from './env-and-flags.ts';
import { type ProxySettings, readProxy, readSurroundings, refuseEnvironment } from './environment.ts';
import { type ConfigFile, readConfigFile } from './file.ts';
import { IamPartSchema, type IamUse, iamPart } from './iam-subset.ts';
import { reportIssue, wording } from './issues.ts';
import { applyInputs, type Doc, layer, type Override } from './layers.ts';
import { overlooked } from './overlooked.ts';
import type { Address } from './parsers.ts';
import { locate, type Problem } from './problems.ts';
import { advise, checkRules, type Report, validParts } from './rules.ts';
import { type Config, ConfigSchema } from './schema.ts';
import { type LoadedSecret, loadCallerKeys, loadSecrets, warnOfAccess } from './secret-files.ts';
import { checkExtraCa, loadTls, type TlsFiles } from './tls-files.ts';

type Env = Readonly<Record<string, string | undefined>>;

export interface LoadOptions {
  /** Values of flags by flag name, `--listen` → value. */
  readonly flags?: Readonly<Record<string, string>>;
  /** Path given by `--config`. */
  readonly file?: string | undefined;
  /** Defaults to the process environment. */
  readonly env?: Env;
  /** Options of Node in front of the program; by default this process's, where the environment is its own, too. */
  readonly nodeArguments?: readonly string[];
  /** Where relative file names start; the working directory by default. */
  readonly cwd?: string;
  /** A whole document; then file, flags and the variables that stand for options do not count. */
  readonly document?: Doc;
  /** Only what commands for Aritma IAM need; the rest may be missing or wrong. */
  readonly iamOnly?: IamUse;
}

export interface LoadedConfig {
  readonly config: Config;
  /** By credential name, in the order they are tried. */
  readonly secrets: ReadonlyMap<string, readonly LoadedSecret[]>;
  readonly file: string | undefined;
  /** From a file name as configured to its path. */
  readonly resolve: (file: string) => string;
  /** The merged document before defaults, as it would stand in a file. */
  readonly document: Doc;
  /** Things that work but should not stay so. */
  readonly warnings: readonly string[];
  /** By caller name; empty = callers need none. */
  readonly callerKeys: ReadonlyMap<string, readonly Secret[]>;
  /** TLS files by owner, `credential NAME`, `route PATH` or `callers`. */
  readonly tls: ReadonlyMap<string, TlsFiles>;
  /** From HTTPS_PROXY, HTTP_PROXY and NO_PROXY. */
  readonly proxy: ProxySettings | undefined;
  /** Where to report to, when systemd started this process. */
  readonly supervisor: ReturnType<typeof readSurroundings>['supervisor'];
  /** The Kubernetes cluster this runs in. */
  readonly cluster: ReturnType<typeof readSurroundings>['cluster'];
  /** Every file that was read, for watching. */
  readonly files: readonly string[];
  /** The secrets of one credential as their sources hold them now, without those that cannot be read. */
  secretsNow(credential: string): readonly LoadedSecret[];
  /** Reads everything again from the same inputs. @throws like `loadConfig` */
  reload(): LoadedConfig;
}

/**
 * @throws SidecarError CONFIG_INVALID with `problems`, all of them
 */
export function loadConfig(options: LoadOptions = {}): LoadedConfig {
  const { file, overrides, problems, env, cwd } = readInputs(options);
  // Node has read its own CAs by then.
  const snapshot = { ...env, NODE_EXTRA_CA_CERTS: undefined };
  const { doc: whole, sources } = applyInputs(layer(file.doc, overrides), overrides);
  const where = (path: readonly PropertyKey[]) => locate(path, sources, file);
  const report: Report = (path, message) => problems.push({ where: where(path), path: path.join('.'), message });
  const doc = options.iamOnly ? iamPart(whole, options.iamOnly, report) : whole;
  const result = (options.iamOnly ? IamPartSchema : ConfigSchema).safeParse(doc, { error: wording });
  for (const issue of result.error?.issues ?? []) reportIssue(issue, report);
  const parts = validParts(doc);
  checkRules(parts, report);
  const warnings: string[] = [];
  const files: string[] = file.path === undefined ? [] : [file.path];
  const context = { env, cwd, report, warnings, files };
  const secrets = loadSecrets(parts.credentials, context);
  const callerKeys = loadCallerKeys(parts.callers, context);
  const tls = loadTls(parts, { ...context, onKey: (path) => warnOfAccess(path, context) });
  checkExtraCa(env['NODE_EXTRA_CA_CERTS'], problems);
  const proxy = readProxy(env, problems);
  const ignored = options.document ? [] : overlooked({ env, cwd, file, doc });
  if (!result.success || problems.length > 0)
    throw new SidecarError('CONFIG_INVALID', { problems: [...problems, ...ignored] });
  const config = result.data;
  return {
    config,
    secrets,
    callerKeys,
    tls,
    proxy,
    ...readSurroundings(env),
    file: file.name,
    resolve: (name) => resolve(cwd, name),
    files,
    document: doc,
    warnings: [...ignored.map(({ where, message }) => `${where} ${message}`), ...warnings, ...advise(config)],
    secretsNow(name) {
      const mine = parts.credentials.filter(([credential]) => credential === name);
      const silent = { env: snapshot, cwd, report: () => undefined, warnings: [], files: [] };
      return loadSecrets(mine, silent).get(name) ?? [];
    },
    // The environment as it was: variables that held secrets are removed from the process once they are read.
    reload: () => loadConfig({ ...options, env: snapshot }),
  };
}

/**
 * Removes the variables that held secrets, so that children and crash reports do not get them. What the process was
 * started with stays readable in /proc/PID/environ: files are the better source.
 */
export function forgetSecretVariables({ credentials, callers }: Config): void {
  const secrets = Object.values(credentials).map((credential) => credential.secrets);
  const keys = Object.values(callers.keys).map((caller) => caller.secrets);
  for (const { env } of [...secrets, ...keys].flat()) {
    // biome-ignore lint/style/noProcessEnv: removes, never reads
    if (env !== undefined) delete process.env[env];
  }
}

/**
 * The address of a running sidecar's admin listener, without needing the rest of the configuration to be valid: a
 * health check must work where the secrets cannot be read.
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
  /** What was wrong with the inputs themselves; more is added. */
  readonly problems: Problem[];
}

/** A file that cannot be understood ends it here: everything else would be a consequence. */
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
  return { name: 'the document given', path: undefined, doc, yaml: undefined, lines: new LineCounter() };
}

function collectOverrides(flags: Readonly<Record<string, string>>, env: Env, problems: Problem[]): Override[] {
  const given = INPUTS.flatMap((input) => {
    const flag = input.flag === undefined ? undefined : flags[input.flag];
    const { path } = input;
    if (flag !== undefined) return [{ path, value: typed(flag, input), source: `flag ${input.flag}`, byFlag: true }];
    // Compose files and service managers pass unset variables as empty ones.
    const value = env[input.env];
    if (!value) return [];
    const source = `environment variable ${input.env}`;
    return [{ path, value: path.at(-1) === 'env' ? input.env : typed(value, input), source, byFlag: false }];
  });
  const slotOf = ({ path }: Override) => (path.includes('secrets') ? path.slice(0, -1).join('.') : path.join('.'));
  return [...Map.groupBy(given, slotOf).values()].flatMap((rivals) => {
    const [first, second] = rivals.toSorted((a, b) => Number(b.byFlag) - Number(a.byFlag));
    if (first && second && first.byFlag === second.byFlag) {
      problems.push({ where: first.source, path: '', message: `is set and so is ${second.source}; set one of them` });
    }
    return first ? [first] : [];
  });
}

/** What is no number stays text, for the schema to complain about. */
function typed(text: string, { number }: (typeof INPUTS)[number]): string | number {
  return number && /^\d{1,9}$/.test(text) ? Number(text) : text;
}
