/**
 * One generation of credentials and tokens for the data plane's routes. Built as a whole from one configuration, and closed
 * when its last request has ended.
 */
import type { LoadedConfig } from '../config/load.ts';
import type { Clock } from '../core/clock.ts';
import { ERRORS } from '../core/errors.ts';
import { failureFields } from '../core/failure.ts';
import type { Log } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import type { Tracing } from '../core/tracing.ts';
import type { Sharing } from '../fleet/fleet.ts';
import { portOf } from '../net/place.ts';
import type { Credential } from '../oauth/credential.ts';
import { createIdentity, type Identity, tokenKey } from '../oauth/credentials.ts';
import type { Token, TokenEvents, TokenKey } from '../oauth/token.ts';
import { createTokenCache, type TokenCache } from '../oauth/token-cache.ts';
import type { Serving } from './data-plane/routes.ts';
import type { FleetLink } from './fleet-link.ts';
import type { Retirable } from './generations.ts';
import { createSecretReader } from './secret-rereading.ts';

export interface Generation extends Retirable, Serving {
  readonly loaded: LoadedConfig;
  readonly tokens: TokenCache;
  readonly credentials: readonly Credential[];
  /** Whether this sidecar or another member of its fleet fetched the token; undefined without a fleet. */
  sourceOf(key: TokenKey): 'fetched' | 'shared' | undefined;
  /** After `retire` it refreshes no more tokens in the background, and closes when this promise has resolved. */
  usedUntil(over: Promise<void>): void;
}

export interface GenerationOptions {
  readonly loaded: LoadedConfig;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly tracing?: Tracing | undefined;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly fleet: Pick<FleetLink, 'token'>;
  /** The replaced generation: its tokens are used until there are new ones. */
  readonly previous?: Generation | undefined;
}

/**
 * Builds a generation; routes start to fetch their tokens when the data plane opens them.
 * @example
 * const next = createGeneration({ loaded, log, metrics, clock, random, previous });
 */
export function createGeneration(options: GenerationOptions): Generation {
  const { loaded, clock, random, previous } = options;
  const identity = connectIdentity(options);
  const origins = new Map<string, ReturnType<FleetLink['token']>>();
  const origin = (key: TokenKey) => {
    const id = JSON.stringify([key.credential, key.scope, key.audience, key.resource]);
    const known = origins.get(id) ?? options.fleet.token(sharingOf(key, loaded, identity));
    origins.set(id, known);
    return known;
  };
  const tokens = createTokenCache({
    fetchToken: (key, ...ask) => origin(key).fetch(() => identity.credential(key.credential).fetchToken(key), ...ask),
    subscribe: (key, take) => origin(key).subscribe(take),
    onRefused: (key, { authorization }) => origin(key).refuse(authorization),
    prepare: (key) => identity.credential(key.credential).prepare(),
    eventsFor: (key) => tokenEvents(key, options),
    seedFor: (key) => previous && inherited(key, loaded, previous),
    refreshBeforeMs: loaded.config.token.refreshBefore,
    waitMs: loaded.config.token.waitTimeout,
    clock,
    random,
  });
  const uses: Promise<void>[] = [];
  return {
    loaded,
    tokens,
    credentials: identity.credentials,
    sourceOf: (key) => origin(key).source,
    settings: loaded,
    tokensFor: (route) => tokens.open(tokenKey(route, loaded.config)),
    usedUntil: (over) => void uses.push(over),
    async retire() {
      tokens.close('close');
      await Promise.allSettled(uses);
      await identity.end('close');
    },
    async destroy() {
      tokens.close('destroy');
      await identity.end('destroy');
    },
  };
}

/** Sidecars whose requests for a token would be the same share it. */
function sharingOf(key: TokenKey, { config }: LoadedConfig, identity: Identity): Sharing {
  const { tokenEndpoint, issuer, clientId, parameters } = config.credentials[key.credential] ?? {};
  const { scope, audience, resource } = key;
  const server = (tokenEndpoint ?? issuer)?.text;
  const { secretsInUse } = identity.credential(key.credential);
  return {
    parts: [server, clientId, scope, audience, resource, JSON.stringify(parameters)],
    secrets: () => secretsInUse().map(({ fingerprint }) => fingerprint),
    host: server && new URL(server).host,
  };
}

function connectIdentity({ loaded, log, metrics, tracing, clock, previous }: GenerationOptions): Identity {
  return createIdentity({
    loaded,
    clock,
    secretsNow: createSecretReader(loaded, { clock, log }),
    onVerdict(credential, secret, verdict) {
      if (verdict === 'accepted') log.info('secret accepted by the identity server', { credential, secret });
      else log.error('secret refused by the identity server', { credential, secret });
    },
    previous: (name) =>
      previous && isSameClient(name, loaded, previous.loaded)
        ? previous.credentials.find((credential) => credential.name === name)
        : undefined,
    onRequest(credential, result, seconds) {
      metrics.count('token_requests_total', { credential, result });
      metrics.observe('token_request_duration_seconds', credential, seconds);
      tracing?.tokenRequest({ credential, result, seconds, server: serverOf(credential, loaded) });
    },
  });
}

/** `id.aritma.io:443`. */
function serverOf(credential: string, { config }: LoadedConfig): string | undefined {
  const { tokenEndpoint, issuer } = config.credentials[credential] ?? {};
  const base = tokenEndpoint ?? issuer;
  return base && `${base.hostname}:${portOf(base)}`;
}

/** Whether both mean the same client id, server and parameters: then a token of the one is valid for the other. */
function isSameClient(name: string, one: LoadedConfig, other: LoadedConfig): boolean {
  const identityOf = ({ config }: LoadedConfig) => {
    const credential = config.credentials[name];
    const { tokenEndpoint, issuer, clientId, parameters } = credential ?? {};
    return JSON.stringify([tokenEndpoint, issuer, clientId, parameters]);
  };
  return identityOf(one) === identityOf(other);
}

/** Returns the previous generation's token for the same scope, audience and resource, if the client is the same. */
function inherited(key: TokenKey, loaded: LoadedConfig, previous: Generation): Token | undefined {
  if (!isSameClient(key.credential, loaded, previous.loaded)) return undefined;
  const wanted = (one: TokenKey) => JSON.stringify([one.scope, one.audience, one.resource]);
  return previous.tokens.sources(key.credential).find((source) => wanted(source.key) === wanted(key))?.token;
}

function tokenEvents(
  { credential }: TokenKey,
  { log, metrics }: Pick<GenerationOptions, 'log' | 'metrics'>,
): TokenEvents {
  const values = ['hit', 'early', 'join', 'miss'];
  let warned = false;
  return {
    lookup: metrics.counterBy('token_lookups_total', 'result', { values, labels: { credential } }),
    obtained(token, assumedLifetime) {
      const expiresInS = Math.round((token.expiresAt - token.since.wallMs) / 1000);
      log.info('token obtained', { credential, expiresInS });
      if (assumedLifetime && !warned)
        log.warn('the identity server sends no token lifetime, the sidecar assumes one', { credential, expiresInS });
      warned ||= assumedLifetime;
    },
    failed({ code, extras }, retryInMs, expiresAt) {
      const fields = {
        ...{ credential, code, result: String(extras.fields?.['result']), retryInS: Math.ceil(retryInMs / 1000) },
        ...failureFields(extras.failure),
      };
      if (extras.failure) metrics.failure(extras.failure.cause);
      if (expiresAt === undefined) log.error(ERRORS[code].title, fields);
      else {
        const validUntil = new Date(expiresAt).toISOString();
        log.warn('the token could not be renewed, the current one stays in use', { ...fields, validUntil });
      }
    },
  };
}
