/**
 * The doctor: tries what the sidecar will do, and says of each step what is wrong and what to do about it. Targets are
 * tried side by side, findings come in the order of the configuration. Touches nothing but the token endpoint, the
 * addresses to listen on and, read-only, the root of each API and the list of secrets at Aritma IAM.
 */
import { type LoadedConfig, type LoadOptions, loadConfig } from '../config/load.ts';
import type { RouteConfig } from '../config/schema.ts';
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

export interface CheckOptions {
  readonly upstream: boolean;
  /** What `serve` looks at before it starts, as findings. */
  readonly preconditions: (loaded: LoadedConfig) => Promise<readonly Finding[]>;
  /** Called as soon as there is something to say. */
  readonly onFinding: (finding: Finding) => void;
}

/** Runs every step and returns the exit code of the most fundamental failure, 0 when all is well. */
export async function diagnose(inputs: LoadOptions, options: CheckOptions): Promise<number> {
  try {
    return await examine(withShortTimeLimits(loadConfig(inputs)), options);
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
    ...(options.upstream ? upstreamSteps({ loaded, connect, keys, credentials }) : []),
  ];
  // A mistake of ours in a later step waits until the earlier ones have been told.
  for (const step of steps) step.catch(() => undefined);
  const secrets = [...loaded.secrets.values()].flat().map(({ value }) => value);
  const findings = new Map<string, Finding>();
  for (const step of steps) {
    const told = await step;
    for (const raw of told) {
      const finding = mask(raw, [...secrets, ...(await tokensOf(credentials))]);
      // Two credentials of one server see the same clock.
      const id = JSON.stringify(finding);
      if (!findings.has(id)) options.onFinding(finding);
      findings.set(id, finding);
    }
  }
  return exitCode([...findings.values()]);
}

/** Could it be started, or does it run already? Then what it holds is as it should be. */
async function startFindings(loaded: LoadedConfig, { preconditions }: CheckOptions): Promise<Finding[]> {
  const running = await runningSidecars(loaded);
  const unmet = (await preconditions(loaded)).filter(
    ({ cause }) => cause !== 'audit_in_use' || !running.some(({ audit }) => audit === loaded.config.audit?.file),
  );
  return [...(await listenerFindings(loaded, running)), ...unmet];
}

/** Many slow steps, each within its limit, can still add up. */
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

/** Those that have been had so far: what is told later can only quote later ones. */
async function tokensOf(credentials: ReadonlyMap<string, Promise<Examined>>): Promise<Secret[]> {
  const none = Promise.resolve(undefined);
  const examined = await Promise.all([...credentials.values()].map((one) => Promise.race([one, none])));
  return examined.flatMap((one) => [...(one?.tokens.values() ?? [])]);
}

type Connect = (leg: Leg) => Promise<Connection>;

/** Two legs to the same place with the same certificates are one. */
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

/** By route. Routes that need the same token share it, so each token is requested once. */
function keysOf({ config }: LoadedConfig): Keys {
  const keys = new Map<string, TokenKey>();
  for (const route of config.routes) {
    const key = tokenKey(route, config);
    const id = JSON.stringify(key);
    if (!keys.has(id)) keys.set(id, key);
  }
  return keys;
}

/** By their own JSON. */
type Keys = ReadonlyMap<string, TokenKey>;

interface Upstreams {
  readonly loaded: LoadedConfig;
  readonly connect: Connect;
  readonly keys: Keys;
  readonly credentials: ReadonlyMap<string, Promise<Examined>>;
}

/** The way to an API is looked at once for all routes that go it, and needs no token; the call does. */
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
