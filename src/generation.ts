/**
 * One generation of the configuration as running objects: pools, credentials, token sources and routes. Built whole,
 * used whole, closed whole, so that a request keeps one generation for its lifetime.
 */
import type { Pool } from 'undici';
import type { LoadedConfig } from './config/load.ts';
import type { Config, RouteConfig } from './config/schema.ts';
import { createEgress, type Egress } from './egress.ts';
import { ERRORS, SidecarError } from './errors.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { CLIENT_AUTH } from './oauth/client-auth.ts';
import type { Clock } from './oauth/clock.ts';
import { type Credential, createCredential } from './oauth/credentials.ts';
import { createTokenCache, type TokenCache } from './oauth/token-cache.ts';
import type { TokenEvents, TokenKey } from './oauth/token-source.ts';
import type { Route } from './proxy/forward.ts';

export interface Generation {
  readonly tokens: TokenCache;
  readonly credentials: readonly Credential[];
  readonly routes: readonly Route[];
  readonly pools: ReadonlyMap<string, Pool>;
  close(): Promise<void>;
}

export interface GenerationOptions {
  readonly loaded: LoadedConfig;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

/** Builds everything and starts fetching the first tokens. */
export function createGeneration({ loaded, log, metrics, clock, random }: GenerationOptions): Generation {
  const { config } = loaded;
  const { credentials, pools: tokenPools } = buildCredentials(loaded, (credential, result, seconds) => {
    metrics.count('token_requests_total', { credential, result });
    metrics.observe('token_request_duration_seconds', { credential }, seconds);
  });
  const tokens = createTokenCache({
    fetchToken: (key) => requireCredential(credentials, key.credential).fetchToken(key),
    eventsFor: (key) => tokenEvents(key, { log, metrics, credential: requireCredential(credentials, key.credential) }),
    refreshBeforeMs: config.token.refreshBefore,
    clock,
    random,
  });
  const egresses = new Map<string, Egress>();
  const routes = config.routes.map((route) => buildRoute(route, { config, egresses, tokens, metrics }));
  const pools = new Map([...egresses].map(([origin, { pool }]) => [origin, pool]));
  const close = async () => {
    tokens.close();
    await Promise.all([...pools.values(), ...tokenPools].map((pool) => pool.destroy()));
  };
  return { tokens, credentials, routes, pools, close };
}

/** A credential makes one request per secret and key at a time; more connections would only be idle ones. */
const TOKEN_CONNECTIONS = 4;

/** The credentials with connections of their own, never those that callers' requests use. */
export function buildCredentials(
  { config, secrets }: LoadedConfig,
  onRequest: (credential: string, result: string, seconds: number) => void,
): { credentials: Credential[]; pools: Pool[] } {
  const pools: Pool[] = [];
  const credentials = Object.entries(config.credentials).map(([name, credential]) => {
    const { pool } = createEgress(credential.tokenEndpoint, config, TOKEN_CONNECTIONS);
    pools.push(pool);
    return createCredential({
      name,
      clientId: credential.clientId,
      auth: CLIENT_AUTH[credential.auth],
      secrets: secrets.get(name) ?? [],
      dispatcher: pool,
      path: credential.tokenEndpoint.basePath || '/',
      deadlineMs: config.token.attemptTimeout,
      onRequest: (result, seconds) => onRequest(name, result, seconds),
    });
  });
  return { credentials, pools };
}

function requireCredential(credentials: readonly Credential[], name: string): Credential {
  const found = credentials.find((credential) => credential.name === name);
  if (!found) throw new SidecarError('SIDECAR_INTERNAL', { fields: { credential: name } });
  return found;
}

interface RouteContext {
  readonly config: Config;
  readonly egresses: Map<string, Egress>;
  readonly tokens: TokenCache;
  readonly metrics: Metrics;
}

function buildRoute(route: RouteConfig, { config, egresses, tokens, metrics }: RouteContext): Route {
  const { origin, basePath } = route.upstream;
  const egress = egresses.get(origin) ?? createEgress(route.upstream, config, config.limits.upstreamConnections);
  egresses.set(origin, egress);
  return {
    path: route.path,
    basePath,
    allow: route.allow,
    dispatcher: egress.pool,
    wasReused: egress.wasReused,
    tokens: tokens.open(tokenKey(route, config)),
    metrics: metrics.forRoute(route.path),
    replayOn401: route.replayOn401,
    onReplay: metrics.replay,
  };
}

/** What a route's token is for: its own wishes, else its credential's. */
export function tokenKey(route: RouteConfig, config: Config): TokenKey {
  const credential = config.credentials[route.credential];
  return {
    credential: route.credential,
    scope: route.scope ?? credential?.scope,
    audience: route.audience ?? credential?.audience,
    resource: route.resource ?? credential?.resource,
  };
}

interface EventContext {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly credential: Credential;
}

function tokenEvents(key: TokenKey, { log, metrics, credential: owner }: EventContext): TokenEvents {
  const { credential, scope = '' } = key;
  const lookups = {
    hit: metrics.counter('token_lookups_total', { credential, result: 'hit' }),
    early: metrics.counter('token_lookups_total', { credential, result: 'early' }),
    join: metrics.counter('token_lookups_total', { credential, result: 'join' }),
    miss: metrics.counter('token_lookups_total', { credential, result: 'miss' }),
  };
  return {
    lookup: (result) => lookups[result](),
    obtained(token, assumedLifetime) {
      metrics.set('token_expiry_timestamp_seconds', { credential, scope }, token.expiresAt / 1000);
      metrics.set('token_last_success_timestamp_seconds', { credential }, Date.now() / 1000);
      metrics.set('token_consecutive_failures', { credential }, 0);
      for (const secret of owner.secretsInUse()) {
        metrics.set('secret_in_use', { credential, secret: secret.name }, secret.inUse ? 1 : 0);
      }
      const expiresInS = Math.round((token.expiresAt - token.since.wallMs) / 1000);
      log.info('token obtained', { credential, expiresInS });
      if (assumedLifetime) log.warn('the server states no token lifetime, assuming one', { credential, expiresInS });
    },
    failed(error, consecutiveFailures, retryInMs) {
      metrics.set('token_consecutive_failures', { credential }, consecutiveFailures);
      const fields = {
        credential,
        code: error.code,
        result: String(error.extras.fields?.['result']),
        retryInS: Math.ceil(retryInMs / 1000),
      };
      log.error(ERRORS[error.code].title, fields);
    },
  };
}
