/**
 * The doctor: tries what the sidecar will do, and reports for each step what is wrong and how to fix it. Checks targets
 * in parallel and reports findings in the order of the configuration. Uses only the token endpoint, the addresses to
 * listen on and, read-only, the root of each API and the list of secrets in Aritma IAM; in a fleet, names of its own in the
 * store.
 */
import { type LoadedConfig, type LoadOptions, loadConfig } from '../config/load.ts';
import type { RouteConfig } from '../config/schema.ts';
import { type PrintedBy, withPrograms } from '../config/secret-programs.ts';
import { secretsIn } from '../config/support-section.ts';
import { ERRORS, SidecarError } from '../core/errors.ts';
import type { Secret } from '../core/secret.ts';
import { within } from '../net/bounded-request.ts';
import type { Leg } from '../net/place.ts';
import { tokenKey } from '../oauth/credentials.ts';
import type { TokenKey } from '../oauth/token.ts';
import { configurationFindings, problemFindings } from './configuration.ts';
import { type Examined, examineCredential } from './credential.ts';
import { fileFindings } from './files.ts';
import { exitCode, FINDING, type Finding } from './finding.ts';
import { listenerFindings, runningSidecars } from './listeners.ts';
import { type Connection, tryConnection } from './network.ts';
import { LIMIT_MS, withShortTimeLimits } from './request.ts';
import { rotationFindings } from './rotation.ts';
import { mask } from './text.ts';
import { callUpstream } from './upstream.ts';

/** Loads the configuration, with what programs printed: see `withPrograms`. */
type Load = (printed?: PrintedBy) => LoadedConfig;

export interface CheckOptions {
  readonly upstream: boolean;
  /** The checks that `serve` makes before it starts, as findings. */
  readonly preconditions: (loaded: LoadedConfig) => Promise<readonly Finding[]>;
  /** Called for each finding as soon as it is known and all earlier ones are reported. */
  readonly onFinding: (finding: Finding) => void;
}

/**
 * Loads the configuration, or calls the function that does; runs every step, reports its findings and returns the exit code of
 * the most basic error, 0 without errors. Never throws for what a configuration, a server or a network does.
 */
export async function diagnose(inputs: LoadOptions | Load, options: CheckOptions): Promise<number> {
  try {
    const load =
      typeof inputs === 'function'
        ? inputs
        : (printed?: PrintedBy) => loadConfig({ ...inputs, ...(printed && { printed }) });
    const loaded = await withPrograms(load);
    return await examine(withShortTimeLimits(loaded), options);
  } catch (error) {
    if (!(error instanceof SidecarError) || error.code !== 'CONFIG_INVALID') throw error;
    // Without a configuration there is nothing else to try.
    const findings = problemFindings(error.extras.problems ?? []);
    for (const finding of findings) options.onFinding(finding);
    return ERRORS.CONFIG_INVALID.exit;
  }
}

async function examine(loaded: LoadedConfig, options: CheckOptions): Promise<number> {
  const connect = connections(loaded);
  const keys = keysOf(loaded);
  const credentials = new Map(
    [...Map.groupBy(keys.values(), ({ credential }) => credential)].map(
      ([name, wanted]) => [name, inTime(name, examineCredential(name, { loaded, keys: wanted, connect }))] as const,
    ),
  );
  const steps: Promise<readonly Finding[]>[] = [
    Promise.resolve([...configurationFindings(loaded), ...fileFindings(loaded)]),
    startFindings(loaded, options),
    ...[...credentials.values()].map(async (examined) => (await examined).findings),
    ...rotationFindings(loaded),
    ...(loaded.config.fleet ? [fleetStep(loaded)] : []),
    ...(options.upstream ? upstreamSteps({ loaded, connect, keys, credentials }) : []),
  ];
  // A bug in a later step must not hide the findings of earlier ones: its rejection waits for its turn.
  for (const step of steps) step.catch(() => undefined);
  const secrets = secretsIn(loaded);
  const findings = new Map<string, Finding>();
  for (const step of steps) {
    const told = await step;
    for (const raw of told) {
      const finding = mask(raw, [...secrets, ...(await tokensOf(credentials))]);
      // Two credentials with one server give the same clock finding: report it once.
      const id = JSON.stringify(finding);
      if (!findings.has(id)) options.onFinding(finding);
      findings.set(id, finding);
    }
  }
  return exitCode([...findings.values()]);
}

/**
 * Whether the sidecar could start, or already runs: an address or audit log in use by a running sidecar is no problem.
 */
async function startFindings(loaded: LoadedConfig, { preconditions }: CheckOptions): Promise<Finding[]> {
  const running = await runningSidecars(loaded);
  const unmet = (await preconditions(loaded)).filter(
    ({ cause }) => cause !== 'audit_in_use' || !running.some(({ audit }) => audit === loaded.config.audit?.file),
  );
  return [...(await listenerFindings(loaded, running)), ...unmet];
}

/** Loads the client of the store only where there is one. */
async function fleetStep(loaded: LoadedConfig): Promise<Finding[]> {
  const { fleetFindings } = await import('./fleet.ts');
  return fleetFindings(loaded);
}

/** Limits the time of one credential: many slow steps, each within its own limit, can still add up. */
function inTime(name: string, examined: Promise<Examined>): Promise<Examined> {
  const seconds = LIMIT_MS.credential / 1000;
  const words = {
    cause: 'token_timeout',
    message: `identity server and network need more than ${seconds} s for this credential`,
    fix: 'try again later; if it happens again, check proxy and firewall, and ask Aritma whether its service works',
  };
  const late = FINDING.error(`token ${name}`, 'TOKEN_UNAVAILABLE', words);
  return within(LIMIT_MS.credential, examined, () => ({ findings: [late], tokens: new Map() }));
}

/** Returns the tokens obtained so far, to mask them. A finding can only quote tokens that already exist. */
async function tokensOf(credentials: ReadonlyMap<string, Promise<Examined>>): Promise<Secret[]> {
  const none = Promise.resolve(undefined);
  const examined = await Promise.all([...credentials.values()].map((one) => Promise.race([one, none])));
  return examined.flatMap((one) => [...(one?.tokens.values() ?? [])]);
}

type Connect = (leg: Leg) => Promise<Connection>;

/** Tries each place once, however many credentials or routes use it with the same certificates. */
function connections(loaded: LoadedConfig): Connect {
  const made = new Map<string, Promise<Connection>>();
  return (leg) => {
    const id = placeId(leg, loaded);
    const connection = made.get(id) ?? tryConnection(leg, loaded);
    made.set(id, connection);
    return connection;
  };
}

function placeId({ base, owner, option }: Leg, { tls }: LoadedConfig): string {
  return JSON.stringify([base.origin, tls.has(owner) ? owner : '', option]);
}

/** Collects the tokens that routes need. Routes that need the same token share it, so each is requested once. */
function keysOf({ config }: LoadedConfig): Keys {
  const keys = new Map<string, TokenKey>();
  for (const route of config.routes) {
    const key = tokenKey(route, config);
    const id = JSON.stringify(key);
    if (!keys.has(id)) keys.set(id, key);
  }
  return keys;
}

/** Keys by their JSON. */
type Keys = ReadonlyMap<string, TokenKey>;

interface Upstreams {
  readonly loaded: LoadedConfig;
  readonly connect: Connect;
  readonly keys: Keys;
  readonly credentials: ReadonlyMap<string, Promise<Examined>>;
}

/**
 * Tries the connection once for all routes to the same place, without a token; then calls each route with its token.
 */
function upstreamSteps({ loaded, connect, keys, credentials }: Upstreams): Promise<Finding[]>[] {
  const { routes } = loaded.config;
  const groups = Map.groupBy(routes, (route) => placeId(legOf(route), loaded));
  return [...groups.values()].map(async (group) => {
    const [first] = group;
    if (!first) return [];
    const connection = await connect(legOf(first));
    const paths = group.map(({ path }) => path).join(', ');
    const subject = `network route ${paths} → ${first.upstream.origin}`;
    if (connection.failed) return [FINDING.error(subject, 'UPSTREAM_UNREACHABLE', connection.failed)];
    const calls = group.map(async (route) => {
      const key = keys.get(JSON.stringify(tokenKey(route, loaded.config)));
      const token = key && (await credentials.get(key.credential))?.tokens.get(key);
      return token ? [await callUpstream(route, token, loaded)] : [];
    });
    const { warning, summary } = connection;
    const soon = warning ? [FINDING.warning(subject, 'UPSTREAM_UNREACHABLE', warning)] : [];
    return [FINDING.ok(subject, summary), ...soon, ...(await Promise.all(calls)).flat()];
  });
}

function legOf({ path, upstream }: RouteConfig): Leg {
  return { base: upstream, owner: `route ${path}`, option: 'upstream' };
}
