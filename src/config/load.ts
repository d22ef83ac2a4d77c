/**
 * Reads configuration from outside: flags > environment > file > preset > default, then the secrets it names. The only
 * reader of the environment. Finds every problem before it gives up, each with its place and what is allowed, and no
 * message ever repeats a value.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Document, isMap, LineCounter, parseDocument } from 'yaml';
import { SidecarError } from '../errors.ts';
import { applyInputs, type Doc, layer, type Override } from './layers.ts';
import { allowedKeys, locate, type Problem } from './problems.ts';
import { type Config, ConfigSchema, INPUTS } from './schema.ts';
import { type LoadedSecret, loadSecrets } from './secrets.ts';
import { type Address, isLoopback } from './values.ts';

export interface LoadOptions {
  /** Values of flags by flag name, `--listen` → value. */
  readonly flags?: Readonly<Record<string, string>>;
  /** Path given by `--config`. */
  readonly file?: string | undefined;
  /** Defaults to the process environment. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
}

export interface LoadedConfig {
  readonly config: Config;
  /** By credential name, in the order they are tried. */
  readonly secrets: ReadonlyMap<string, readonly LoadedSecret[]>;
  readonly file: string | undefined;
  /** The merged document before defaults, as it would stand in a file. */
  readonly document: Doc;
  /** Things that work but should not stay so. */
  readonly warnings: readonly string[];
}

const DEFAULT_FILE = 'aritma-sidecar.yaml';

/**
 * @throws SidecarError CONFIG_INVALID with `problems`, all of them
 */
export function loadConfig(options: LoadOptions = {}): LoadedConfig {
  // biome-ignore lint/style/noProcessEnv: this is the one place that reads it
  const env = options.env ?? process.env;
  const problems: Problem[] = refuseEnvironment(env);
  const file = readConfigFile(options, env, problems);
  const overrides = collectOverrides(options.flags ?? {}, env, problems);
  const doc = applyInputs(layer(file.doc, overrides), overrides);
  const where = (path: readonly PropertyKey[]) => locate(path, overrides, file);
  const result = ConfigSchema.safeParse(doc);
  if (!result.success) problems.push(...fromZod(result.error.issues, where));
  const config = result.data;
  if (config) problems.push(...crossCheck(config, where));
  const warnings: string[] = [];
  const secrets = config ? loadSecrets(config, { env, where, problems, warnings }) : new Map();
  if (!config || problems.length > 0) throw new SidecarError('CONFIG_INVALID', { problems });
  return { config, secrets, file: file.name, document: doc, warnings: [...warnings, ...advise(config)] };
}

/**
 * Removes the variables that held secrets, so that children and crash reports do not get them. What the process was
 * started with stays readable in /proc/PID/environ: files are the better source.
 */
export function forgetSecretVariables({ credentials }: Config): void {
  for (const { env } of Object.values(credentials).flatMap(({ secrets }) => secrets)) {
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
  // biome-ignore lint/style/noProcessEnv: this is the one place that reads it
  const env = options.env ?? process.env;
  const problems: Problem[] = [];
  const file = readConfigFile(options, env, problems);
  const overrides = collectOverrides(options.flags ?? {}, env, []).filter(({ path }) => path[0] === 'admin');
  const result = ConfigSchema.shape.admin.safeParse(applyInputs(file.doc, overrides)['admin']);
  const [address] = result.data ?? [];
  if (!result.success) {
    const where = locate(['admin'], overrides, file);
    problems.push(...result.error.issues.map(({ message }) => ({ where, path: 'admin', message })));
  }
  if (address === undefined || problems.length > 0) throw new SidecarError('CONFIG_INVALID', { problems });
  return address;
}

interface ConfigFile {
  readonly name: string | undefined;
  readonly doc: Doc;
  readonly yaml: Document | undefined;
  readonly lines: LineCounter;
}

function readConfigFile(options: LoadOptions, env: NonNullable<LoadOptions['env']>, problems: Problem[]): ConfigFile {
  const lines = new LineCounter();
  const asked = options.file ?? (env['ARITMA_CONFIG'] || undefined);
  const name = asked ?? DEFAULT_FILE;
  const none = { name: undefined, doc: {}, yaml: undefined, lines };
  let text: string;
  try {
    text = readFileSync(resolve(options.cwd ?? '.', name), 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (asked === undefined && code === 'ENOENT') return none;
    problems.push({ where: name, path: '', message: `cannot be read (${code}); check path and permissions` });
    return none;
  }
  // prettyErrors would quote the offending line, and that line may hold what must not be shown.
  const yaml = parseDocument(text, { version: '1.2', lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  for (const error of yaml.errors) {
    const { line, col } = lines.linePos(error.pos[0]);
    problems.push({ where: `${name}:${line}`, path: '', message: `YAML syntax error ${error.code}, column ${col}` });
  }
  if (yaml.errors.length > 0) return { ...none, name };
  if (yaml.contents !== null && !isMap(yaml.contents)) {
    problems.push({
      where: `${name}:1`,
      path: '',
      message: 'must be a mapping of options, such as `environment: dev`',
    });
    return { ...none, name };
  }
  return { name, doc: (yaml.toJS() ?? {}) as Doc, yaml, lines };
}

function collectOverrides(
  flags: Readonly<Record<string, string>>,
  env: NonNullable<LoadOptions['env']>,
  problems: Problem[],
): Override[] {
  const overrides: Override[] = [];
  for (const input of INPUTS) {
    const flag = input.flag === undefined ? undefined : flags[input.flag];
    // Compose files and service managers pass unset variables as empty ones.
    const variable = env[input.env] || undefined;
    const isSecretItself = input.path.at(-1) === 'env';
    if (flag !== undefined) overrides.push({ path: input.path, value: flag, source: `flag ${input.flag}` });
    else if (variable !== undefined) {
      const value = isSecretItself ? input.env : variable;
      overrides.push({ path: input.path, value, source: `environment variable ${input.env}` });
      const other = `${input.env}_FILE`;
      if (isSecretItself && env[other]) {
        problems.push({
          where: `environment variable ${other}`,
          path: '',
          message: `is set and so is ${input.env}; set one`,
        });
      }
    }
  }
  return overrides;
}

type Where = (path: readonly PropertyKey[]) => string;

function fromZod(issues: readonly ZodIssue[], where: Where): Problem[] {
  return issues.flatMap((issue) => {
    const path = issue.path.join('.');
    if (issue.code === 'unrecognized_keys') {
      const allowed = allowedKeys(issue.path).join(', ');
      return issue.keys.map((key) => ({
        where: where([...issue.path, key]),
        path: [...issue.path, key].join('.'),
        message: `unknown option; allowed here: ${allowed}`,
      }));
    }
    const missing = issue.code === 'invalid_type' && issue.input === undefined && issue.message.endsWith('undefined');
    return [{ where: where(issue.path), path, message: missing ? 'is required' : issue.message }];
  });
}

type ZodIssue = NonNullable<ReturnType<typeof ConfigSchema.safeParse>['error']>['issues'][number];

function crossCheck(config: Config, where: Where): Problem[] {
  const problems: Problem[] = [];
  const add = (path: readonly PropertyKey[], message: string) =>
    problems.push({ where: where(path), path: path.join('.'), message });
  const plain = 'is http:// to another machine; use https://, or set unsafe.plainTextHttp: true';
  const exposed = ({ secure, hostname }: { secure: boolean; hostname: string }) =>
    !secure && !isLoopback(hostname) && !config.unsafe.plainTextHttp;
  for (const [name, credential] of Object.entries(config.credentials)) {
    if (exposed(credential.tokenEndpoint)) add(['credentials', name, 'tokenEndpoint'], plain);
  }
  const seen = new Set<string>();
  config.routes.forEach((route, index) => {
    if (exposed(route.upstream)) add(['routes', index, 'upstream'], plain);
    if (seen.has(route.path)) add(['routes', index, 'path'], 'is listed twice; each path needs one route');
    seen.add(route.path);
    if (!Object.hasOwn(config.credentials, route.credential)) {
      add(
        ['routes', index, 'credential'],
        `names no credential; there are: ${Object.keys(config.credentials).join(', ') || 'none'}`,
      );
    }
  });
  config.listen.forEach((address, index) => {
    if (address.kind === 'tcp' && !isLoopback(address.host)) {
      add(
        ['listen', index],
        'is not a loopback address: whoever reaches it spends the company’s money; use 127.0.0.1, [::1] or unix:/path',
      );
    }
  });
  return problems;
}

/** Variables that would undo what the sidecar promises, whatever the configuration says. */
function refuseEnvironment(env: NonNullable<LoadOptions['env']>): Problem[] {
  const refuse = (name: string, message: string) => ({ where: `environment variable ${name}`, path: '', message });
  const problems: Problem[] = [];
  if (env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0') {
    problems.push(
      refuse(
        'NODE_TLS_REJECT_UNAUTHORIZED',
        'turns certificate checks off; unset it and add the CA with NODE_EXTRA_CA_CERTS',
      ),
    );
  }
  if (env['NODE_DEBUG'])
    problems.push(refuse('NODE_DEBUG', 'makes Node print headers, the token among them; unset it'));
  return problems;
}

function advise(config: Config): string[] {
  const open = config.routes.filter((route) => route.allow === undefined).map((route) => route.path);
  return open.length === 0
    ? []
    : [`no allow-list on ${open.join(', ')}: every method and path of the API can be called`];
}
