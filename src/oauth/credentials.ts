/**
 * Creates the credentials of a configuration. Each has its own connections for discovery, token requests and key sets;
 * they never share connections with callers' requests.
 */
import type { LoadedConfig } from '../config/load.ts';
import { type BaseUrl, isLoopback, parseBaseUrl } from '../config/parsers.ts';
import type { Config, CredentialConfig, RouteConfig } from '../config/schema.ts';
import type { LoadedSecret } from '../config/secret-files.ts';
import type { Clock } from '../core/clock.ts';
import { SidecarError } from '../core/errors.ts';
import { createEgress, type Egress } from '../net/egress.ts';
import { type Place, placeOf } from '../net/place.ts';
import { assertionAudience } from './client-auth.ts';
import { clientSecretsOf } from './client-secrets.ts';
import { type Credential, type CredentialOptions, createCredential, type Endpoint } from './credential.ts';
import { createDiscovery, type Discovery } from './discovery.ts';
import type { ClientSecret } from './secret-failover.ts';
import type { TokenKey } from './token.ts';
import { createVerifier, type Verify } from './token-verifier.ts';

export interface Identity {
  readonly credentials: readonly Credential[];
  /** Returns the credential of that name. @throws SidecarError SIDECAR_INTERNAL when validation let a wrong name pass */
  credential(name: string): Credential;
  /** `close` lets running token requests finish, `destroy` aborts them. */
  end(how: 'close' | 'destroy'): Promise<void>;
}

export interface IdentityOptions {
  readonly loaded: LoadedConfig;
  readonly clock: Clock;
  /** Called after every request to a token endpoint. */
  readonly onRequest?: (credential: string, result: string, seconds: number) => void;
  /** Called when a server accepts another secret than before, or begins to refuse one; `secret` is its name. */
  readonly onVerdict?: (credential: string, secret: string, verdict: 'accepted' | 'refused') => void;
  /** Reads the client secrets of a credential again; leaves out those that cannot be read. */
  readonly secretsNow?: (credential: string) => readonly LoadedSecret[] | Promise<readonly LoadedSecret[]>;
  /** The credential of that name before a reload, if client and server are the same. */
  readonly previous?: (name: string) => Credential | undefined;
}

/** Per origin. A credential sends one request per token key at a time, so more connections would stay idle. */
const CONNECTIONS = 4;

/** A connection that receives more is closed: enough for ten responses of the largest size that is read, with headers. */
const MAX_BYTES_PER_CONNECTION = 1024 * 1024;

/**
 * Creates all credentials of a configuration; connects on first use.
 * @example
 * const identity = createIdentity({ loaded, clock: systemClock });
 * const response = await identity.credential('default').fetchToken(target);
 * await identity.end('close');
 */
export function createIdentity(options: IdentityOptions): Identity {
  const { loaded } = options;
  const egresses: Egress[] = [];
  const credentials = Object.entries(loaded.config.credentials).map(([name, settings]) => {
    const owner = `credential ${name}`;
    const connect = (base: BaseUrl) => {
      const egress = createEgress(base, {
        loaded,
        connections: CONNECTIONS,
        maxBytes: MAX_BYTES_PER_CONNECTION,
        owner,
      });
      egresses.push(egress);
      return egress;
    };
    const placeAt = (base: BaseUrl, option: string) =>
      placeOf({ base, owner, option }, loaded, loaded.config.timeouts.connect);
    return buildCredential(name, { ...options, settings, connect, placeAt });
  });
  return {
    credentials,
    credential(name) {
      const found = credentials.find((credential) => credential.name === name);
      if (!found) throw new SidecarError('SIDECAR_INTERNAL', { fields: { credential: name } });
      return found;
    },
    end: async (how) => void (await Promise.all(egresses.map((egress) => egress[how]()))),
  };
}

/** Returns the token key of a route: the route's own scope, audience and resource, else those of its credential. */
export function tokenKey(route: RouteConfig, config: Config): TokenKey {
  const credential = config.credentials[route.credential];
  return {
    credential: route.credential,
    scope: route.scope ?? credential?.scope,
    audience: route.audience ?? credential?.audience,
    resource: route.resource ?? credential?.resource,
  };
}

interface Context extends IdentityOptions {
  readonly settings: CredentialConfig;
  readonly connect: (base: BaseUrl) => Egress;
  readonly placeAt: (base: BaseUrl, option: string) => Place;
}

function buildCredential(name: string, context: Context): Credential {
  const { loaded, clock, settings, onRequest, onVerdict, secretsNow, placeAt } = context;
  const server = settings.tokenEndpoint ?? settings.issuer;
  const discovery = settings.issuer && discover(settings.issuer, context);
  const sources = loaded.secrets.get(name) ?? [];
  const build = (from: readonly LoadedSecret[]) =>
    clientSecretsOf(settings, from, { resolve: loaded.resolve, now: () => clock.now().wallMs });
  const clientSecrets = build(sources);
  // An assertion is read anew for each request, so there is no other one to fall back to.
  const before = settings.assertion ? undefined : context.previous?.(name);
  return createCredential({
    name,
    host: server && placeAt(server, '').target,
    clientSecrets,
    secretsNow:
      secretsNow && sources.length > 0 ? async () => build(reread(sources, await secretsNow(name))) : undefined,
    ...secretBefore(before, clientSecrets),
    locate: locator(context, discovery),
    onUnusable: () => discovery?.forget(),
    verify: buildVerifier(context, discovery),
    parameters: settings.parameters,
    deadlineMs: loaded.config.token.attemptTimeout,
    clock,
    onRequest: (result, seconds) => onRequest?.(name, result, seconds),
    onVerdict: (secret, verdict) => onVerdict?.(name, secret, verdict),
  });
}

/** A secret that replaces another one, a wrong one, and what it was corrected from: servers lock out clients that keep failing. */
const MOST_OLDER = 3;

/** What a reload keeps of the client secrets before it. */
function secretBefore(
  before: Credential | undefined,
  next: readonly ClientSecret[],
): Pick<CredentialOptions, 'inherited' | 'replaced' | 'untried'> {
  const isHeld = (one: ClientSecret) => next.some(({ fingerprint }) => fingerprint === one.fingerprint);
  const accepted = before?.accepted();
  // Never asked with: the server was away, or other members of a fleet had a token. One of them may be the only one that works.
  const untried = before?.unrefused().filter((one) => !isHeld(one) && one.fingerprint !== accepted?.fingerprint);
  return {
    ...(accepted && { [isHeld(accepted) ? 'inherited' : 'replaced']: accepted }),
    untried: untried?.slice(0, accepted ? MOST_OLDER - 1 : MOST_OLDER),
  };
}

/** Keeps the old value of a source that cannot be read now. */
function reread(before: readonly LoadedSecret[], now: readonly LoadedSecret[]): LoadedSecret[] {
  return before.map((secret) => now.find(({ name }) => name === secret.name) ?? secret);
}

function discover(issuer: BaseUrl, { loaded: { config }, connect, placeAt }: Context): Discovery {
  return createDiscovery({
    issuer: issuer.text,
    basePath: issuer.basePath,
    place: placeAt(issuer, 'issuer'),
    dispatcher: connect(issuer).dispatcher,
    deadlineMs: config.token.attemptTimeout,
    isAcceptable: (url) => isAcceptable(url, config),
  });
}

/** Whether a URL from a server's response passes the rule for configured URLs: https, loopback, or `unsafe` allows it. */
export function isAcceptable(url: string, config: Config): boolean {
  try {
    const { secure, hostname } = parseBaseUrl(url);
    return secure || isLoopback(hostname) || config.unsafe.plainTextHttp;
  } catch {
    // Not a valid base URL; treated as absent.
    return false;
  }
}

function buildVerifier(
  { settings, loaded, connect, clock }: Context,
  discovery: Discovery | undefined,
): Verify | undefined {
  const { verify, issuer, audience } = settings;
  if (!verify || !issuer || !discovery) return undefined;
  return createVerifier({
    issuer: issuer.text,
    audience,
    async jwksUri() {
      const outcome = await discovery.find();
      return 'found' in outcome ? outcome.found.jwksUri : undefined;
    },
    dispatcherFor: (url) => connect(parseBaseUrl(new URL(url).origin)).dispatcher,
    deadlineMs: loaded.config.token.attemptTimeout,
    clock,
  });
}

/** Returns a function that finds the token endpoint, configured or discovered; keeps one egress per origin. */
function locator({ settings, connect, placeAt }: Context, discovery: Discovery | undefined) {
  const { tokenEndpoint } = settings;
  const audience = assertionAudience(settings);
  const egresses = new Map<string, Egress>();
  const endpoint = (base: BaseUrl): Endpoint => {
    const egress = egresses.get(base.origin) ?? connect(base);
    egresses.set(base.origin, egress);
    const { dispatcher, prepare } = egress;
    return { dispatcher, prepare, path: base.basePath || '/', audience, place: placeAt(base, 'tokenEndpoint') };
  };
  if (tokenEndpoint) {
    const fixed = endpoint(tokenEndpoint);
    return async () => fixed;
  }
  return async () => {
    const outcome = (await discovery?.find()) ?? { failed: 'discovery' as const, failure: undefined };
    if ('found' in outcome) return endpoint(parseBaseUrl(outcome.found.tokenEndpoint));
    const kind = outcome.failed === 'discovery' ? ('unavailable' as const) : ('malformed' as const);
    return { kind, result: outcome.failed, failure: outcome.failure };
  };
}
