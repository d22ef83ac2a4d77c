/**
 * Rules between options that a schema cannot express. They run on the parts of a configuration that are valid, so that
 * one mistake does not hide another.
 */
import { CredentialSchema } from './credential-schema.ts';
import { type Doc, isDoc } from './layers.ts';
import { type Address, type BaseUrl, isLoopback, parseAddress } from './parsers.ts';
import { secretLooking } from './route-headers.ts';
import { RouteSchema } from './route-schema.ts';
import { type Config, ConfigSchema, type CredentialConfig, type RouteConfig } from './schema.ts';

/** The valid parts of a configuration, even if the whole is not valid. */
export interface ValidParts {
  readonly credentials: readonly (readonly [name: string, credential: CredentialConfig])[];
  readonly routes: readonly (readonly [index: number, route: RouteConfig])[];
  readonly listen: readonly (readonly [index: number, address: Address])[];
  readonly unsafe: Config['unsafe'];
  readonly callers: Config['callers'] | undefined;
  readonly iam: Config['iam'];
  readonly fleet: Config['fleet'];
  readonly tracing: Config['tracing'];
  /** Every name under `credentials`, valid or not. */
  readonly credentialNames: readonly string[];
  /** Names of those without secrets, valid or not, that need some. */
  readonly withoutSecrets: readonly string[];
}

/** Reports a problem at an option. */
export type Report = (path: readonly PropertyKey[], message: string) => void;

const PLAIN = 'is http:// to another machine: use https://, or set unsafe.plainTextHttp: true';
const PLAIN_STORE =
  'is another machine without TLS: use rediss:// (with nodes or sentinel: set fleet.tls), or set unsafe.plainTextHttp: true';
const EXPOSED =
  'is not a loopback address: every machine that reaches it could make payments. Use 127.0.0.1, [::1] or unix:/path, or set unsafe.nonLoopbackListen: true together with callers.keys or callers.tls.ca';

/** Returns what can be checked of a document that may have mistakes. */
export function validParts(doc: Doc): ValidParts {
  const credentials = Object.entries(isDoc(doc['credentials']) ? doc['credentials'] : {});
  const routes = Array.isArray(doc['routes']) ? doc['routes'] : [];
  const unsafe = ConfigSchema.shape.unsafe.safeParse(doc['unsafe']);
  return {
    credentials: credentials.flatMap(([name, raw]) => {
      const { data } = CredentialSchema.safeParse(raw);
      return data ? [[name, data] as const] : [];
    }),
    routes: routes.flatMap((raw, index) => {
      const { data } = RouteSchema.safeParse(raw);
      return data ? [[index, data] as const] : [];
    }),
    listen: [doc['listen'] ?? []].flat().flatMap((raw, index) => {
      const address = typeof raw === 'string' ? tryAddress(raw) : undefined;
      return address ? [[index, address] as const] : [];
    }),
    unsafe: unsafe.data ?? { plainTextHttp: false, nonLoopbackListen: false },
    callers: ConfigSchema.shape.callers.safeParse(doc['callers']).data,
    iam: ConfigSchema.shape.iam.safeParse(doc['iam']).data,
    fleet: ConfigSchema.shape.fleet.safeParse(doc['fleet']).data,
    tracing: ConfigSchema.shape.tracing.safeParse(doc['tracing']).data,
    credentialNames: credentials.map(([name]) => name),
    withoutSecrets: credentials.flatMap(([name, raw]) => (lacksSecrets(raw) ? [name] : [])),
  };
}

/** Reports every violation of a rule between options. */
export function checkRules(parts: ValidParts, report: Report): void {
  for (const name of parts.withoutSecrets) report(['credentials', name, 'secrets'], 'is required');
  checkTransport(parts, report);
  const seen = new Set<string>();
  for (const [index, route] of parts.routes) {
    if (seen.has(route.path)) report(['routes', index, 'path'], 'occurs twice; use one route per path');
    seen.add(route.path);
    if (!parts.credentialNames.includes(route.credential)) {
      const known = parts.credentialNames.join(', ') || 'none';
      report(['routes', index, 'credential'], `is not a configured credential; configured: ${known}`);
    }
  }
  checkListeners(parts, report);
  checkIam(parts, report);
}

function lacksSecrets(credential: unknown): boolean {
  if (!isDoc(credential) || credential['secrets'] !== undefined) return false;
  return credential['auth'] !== 'client_assertion_file';
}

function checkIam({ iam, credentials, credentialNames }: ValidParts, report: Report): void {
  if (iam?.credential !== undefined && !credentialNames.includes(iam.credential)) {
    report(
      ['iam', 'credential'],
      `is not a configured credential; configured: ${credentialNames.join(', ') || 'none'}`,
    );
  }
  for (const [name, { rotation }] of credentials) {
    if (rotation?.every !== undefined && iam?.credential === undefined) {
      report(
        ['credentials', name, 'rotation', 'every'],
        'needs iam.url, and iam.credential with the right to change secrets',
      );
    }
  }
}

function checkListeners({ listen, unsafe, callers }: ValidParts, report: Report): void {
  const proven = callers && (Object.keys(callers.keys).length > 0 || callers.tls?.ca !== undefined);
  for (const [index, address] of listen) {
    if (address.kind === 'unix' || isLoopback(address.host)) continue;
    if (!unsafe.nonLoopbackListen || !proven) report(['listen', index], EXPOSED);
  }
}

/** RFC 6750 §5.3: no secret and no token over a network without TLS, unless explicitly allowed. */
function checkTransport({ credentials, routes, iam, fleet, tracing, unsafe }: ValidParts, report: Report): void {
  const check = (path: readonly PropertyKey[], url: BaseUrl | undefined) => {
    if (url && !url.secure && !isLoopback(url.hostname) && !unsafe.plainTextHttp) report(path, PLAIN);
  };
  for (const [name, { tokenEndpoint, issuer }] of credentials) {
    check(['credentials', name, 'tokenEndpoint'], tokenEndpoint);
    check(['credentials', name, 'issuer'], issuer);
  }
  check(['iam', 'url'], iam?.url);
  check(['tracing', 'otlp'], tracing?.otlp);
  for (const [index, { upstream }] of routes) check(['routes', index, 'upstream'], upstream);
  for (const [path, host] of plainStores(fleet))
    if (!isLoopback(host) && !unsafe.plainTextHttp) report(['fleet', ...path], PLAIN_STORE);
}

/** The servers of the fleet store that are spoken to without TLS, by their option. */
function plainStores(fleet: Config['fleet']): (readonly [path: readonly PropertyKey[], host: string])[] {
  if (fleet?.url) return fleet.url.secure ? [] : [[['url'], fleet.url.host]];
  if (!fleet || fleet.tls) return [];
  const nodes = (fleet.nodes ?? []).map(({ host }, index) => [['nodes', index], host] as const);
  return [...nodes, ...(fleet.sentinel?.nodes ?? []).map(({ host }, at) => [['sentinel', 'nodes', at], host] as const)];
}

/** Returns warnings about settings that work but should change. */
export function advise(config: Config): string[] {
  const advice: string[] = [];
  const open = config.routes.filter((route) => route.allow === undefined).map((route) => route.path);
  if (open.length > 0) {
    advice.push(`no allow-list on ${open.join(', ')}: callers can use every method and path of the API`);
  }
  for (const { path, headers } of config.routes) {
    const names = secretLooking(headers).join(', ');
    if (names) advice.push(`headers of ${path}: ${names} usually means a secret, and /status shows every value`);
  }
  const { keys, tls } = config.callers;
  const overTcp = config.listen.some(({ kind }) => kind === 'tcp');
  if (overTcp && Object.keys(keys).length === 0 && tls?.ca === undefined) {
    advice.push('no callers.keys: every user and program on this machine can call the APIs');
  }
  const exposed = config.listen.some((address) => address.kind === 'tcp' && !isLoopback(address.host));
  if (exposed && !tls) advice.push('no callers.tls: keys and bodies cross the network unencrypted');
  if (config.workers > 1) advice.push('workers has no effect since 1.0: one process serves all callers; remove it');
  return advice;
}

function tryAddress(text: string): Address | undefined {
  try {
    return parseAddress(text);
  } catch {
    // The schema reports it.
    return undefined;
  }
}
