/**
 * One generation of the control side: credentials, and the tokens that the data plane's routes ask for. Built whole from a
 * configuration, and closed when no request that came in under it is left.
 */
import type { LoadedConfig } from '../config/load.ts';
import type { Clock } from '../core/clock.ts';
import { ERRORS } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import type { Credential } from '../oauth/credential.ts';
import { createIdentity, type Identity } from '../oauth/credentials.ts';
import { countLookups, type Token, type TokenEvents, type TokenKey } from '../oauth/token.ts';
import { createTokenCache, type TokenCache } from '../oauth/token-cache.ts';
import type { TokenSource } from '../oauth/token-source.ts';
import type { Serving } from './data-plane/generation.ts';
import { dataPlaneSettings, WHOLE } from './data-plane/settings.ts';
import type { Retirable } from './generations.ts';

export interface Generation extends Retirable, Serving {
  readonly loaded: LoadedConfig;
  readonly tokens: TokenCache;
  readonly credentials: readonly Credential[];
  readonly sources: readonly TokenSource[];
  /** Told from now on when a token came, or is not to be used any more. */
  onTokenChange(listener: () => void): void;
  /** Once replaced it refreshes no tokens behind any more, and closes when this has resolved. */
  usedUntil(over: Promise<void>): void;
}

export interface GenerationOptions {
  readonly loaded: LoadedConfig;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** The generation this one replaces: its tokens serve until there are new ones. */
  readonly previous?: Generation | undefined;
}

/** Builds everything and starts fetching the first tokens. */
export function createGeneration(options: GenerationOptions): Generation {
  const { loaded, clock, random, previous } = options;
  const identity = connectIdentity(options);
  const listeners = new Set<() => void>();
  const tokens = createTokenCache({
    fetchToken: (key) => identity.credential(key.credential).fetchToken(key),
    eventsFor: (key) => tokenEvents(key, options, () => listeners.forEach((listener) => void listener())),
    seedFor: (key) => previous && inherited(key, loaded, previous),
    refreshBeforeMs: loaded.config.token.refreshBefore,
    waitMs: loaded.config.token.waitTimeout,
    clock,
    random,
  });
  const settings = (share = WHOLE) => dataPlaneSettings(loaded, share);
  const uses: Promise<void>[] = [];
  return {
    loaded,
    tokens,
    credentials: identity.credentials,
    settings,
    sources: settings().tokenKeys.map(tokens.open),
    onTokenChange: (listener) => void listeners.add(listener),
    usedUntil: (over) => void uses.push(over),
    async retire() {
      tokens.close();
      await Promise.allSettled(uses);
      await identity.end('close');
    },
    async destroy() {
      tokens.close();
      await identity.end('destroy');
    },
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
  const wanted = (one: TokenKey) => JSON.stringify([one.scope, one.audience, one.resource]);
  return previous.tokens.sources(key.credential).find((source) => wanted(source.key) === wanted(key))?.token;
}

function tokenEvents(
  { credential }: TokenKey,
  { log, metrics }: Pick<GenerationOptions, 'log' | 'metrics'>,
  changed: () => void,
): TokenEvents {
  let warned = false;
  return {
    lookup: countLookups(metrics, credential),
    changed,
    obtained(token, assumedLifetime) {
      const expiresInS = Math.round((token.expiresAt - token.since.wallMs) / 1000);
      log.info('token obtained', { credential, expiresInS });
      if (assumedLifetime && !warned)
        log.warn('the server states no token lifetime, assuming one', { credential, expiresInS });
      warned ||= assumedLifetime;
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
