/**
 * One generation of the configuration as running objects: egress, credentials, token sources, routes and the gate. Built
 * whole, used whole, closed whole, so that a request keeps one generation for its lifetime.
 */
import type { LoadedConfig } from '../config/load.ts';
import type { RouteConfig } from '../config/schema.ts';
import type { Clock } from '../core/clock.ts';
import { ERRORS } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import type { Credential } from '../oauth/credential.ts';
import { createIdentity, type Identity, tokenKey } from '../oauth/credentials.ts';
import type { Token, TokenEvents, TokenKey } from '../oauth/token.ts';
import { createTokenCache, type TokenCache } from '../oauth/token-cache.ts';
import type { Route } from '../proxy/exchange.ts';
import { countReferences } from './data-plane/ref-count.ts';
import { createRoutes, type UpstreamUse } from './data-plane/routes.ts';

export interface Generation {
  readonly loaded: LoadedConfig;
  readonly tokens: TokenCache;
  readonly credentials: readonly Credential[];
  readonly routes: readonly Route[];
  /** By origin and route, for `/status`. */
  upstreams(): UpstreamUse[];
  /** A request that came in through this generation keeps it whole until it calls what is returned. */
  hold(): () => void;
  /** Refreshes no tokens behind any more; closes its connections when the last request has let go. */
  retire(): Promise<void>;
  /** Ends what still runs. */
  destroy(): Promise<void>;
}

export interface GenerationOptions {
  readonly loaded: LoadedConfig;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Told when there is a new token. */
  readonly onToken?: () => void;
  /** The generation this one replaces: its tokens serve until there are new ones. */
  readonly previous?: Generation | undefined;
}

/** Builds everything and starts fetching the first tokens. */
export function createGeneration(options: GenerationOptions): Generation {
  const { loaded, metrics, clock, random, previous } = options;
  const { config } = loaded;
  const identity = connectIdentity(options);
  const tokens = createTokenCache({
    fetchToken: (key) => identity.credential(key.credential).fetchToken(key),
    eventsFor: (key) => tokenEvents(key, options),
    seedFor: (key) => previous && inherited(key, loaded, previous),
    refreshBeforeMs: config.token.refreshBefore,
    waitMs: config.token.waitTimeout,
    clock,
    random,
  });
  const tokensFor = (route: RouteConfig) => tokens.open(tokenKey(route, config));
  const routes = createRoutes(config.routes, { loaded, tokensFor, metrics });
  const references = countReferences();
  const end = async (how: 'close' | 'destroy') => {
    tokens.close();
    if (how === 'close') await references.gone();
    await Promise.all([routes.end(how), identity.end(how)]);
  };
  return {
    loaded,
    tokens,
    credentials: identity.credentials,
    routes: routes.list,
    upstreams: routes.upstreams,
    hold: references.hold,
    retire: () => end('close'),
    destroy: () => end('destroy'),
  };
}

function connectIdentity({ loaded, log, metrics, clock, previous }: GenerationOptions): Identity {
  return createIdentity({
    loaded,
    clock,
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
      metrics.observe('token_request_duration_seconds', { credential }, seconds);
    },
  });
}

/** One client id at one server, asking for the same: what was issued to the one was issued to the other. */
function isSameClient(name: string, one: LoadedConfig, other: LoadedConfig): boolean {
  const identityOf = ({ config }: LoadedConfig) => {
    const credential = config.credentials[name];
    const { tokenEndpoint, issuer, clientId, parameters } = credential ?? {};
    return JSON.stringify([tokenEndpoint, issuer, clientId, parameters]);
  };
  return identityOf(one) === identityOf(other);
}

/** The old generation's token for the same purpose, if it was issued to the same client by the same server. */
function inherited(key: TokenKey, loaded: LoadedConfig, previous: Generation): Token | undefined {
  if (!isSameClient(key.credential, loaded, previous.loaded)) return undefined;
  const requested = (one: TokenKey) => JSON.stringify([one.scope, one.audience, one.resource]);
  return previous.tokens.sources(key.credential).find((source) => requested(source.key) === requested(key))?.token;
}

function tokenEvents(
  { credential }: TokenKey,
  { log, metrics, onToken }: Pick<GenerationOptions, 'log' | 'metrics' | 'onToken'>,
): TokenEvents {
  const lookups = {
    hit: metrics.counter('token_lookups_total', { credential, result: 'hit' }),
    early: metrics.counter('token_lookups_total', { credential, result: 'early' }),
    join: metrics.counter('token_lookups_total', { credential, result: 'join' }),
    miss: metrics.counter('token_lookups_total', { credential, result: 'miss' }),
  };
  let warned = false;
  return {
    lookup: (result) => lookups[result](),
    obtained(token, assumedLifetime) {
      const expiresInS = Math.round((token.expiresAt - token.since.wallMs) / 1000);
      log.info('token obtained', { credential, expiresInS });
      if (assumedLifetime && !warned)
        log.warn('the server states no token lifetime, assuming one', { credential, expiresInS });
      warned ||= assumedLifetime;
      onToken?.();
    },
    failed(error, retryInMs) {
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
