/**
 * A configuration on its way to a worker: named field by field, so that an option which holds a secret tomorrow stays
 * where it is; and, at the other end, in the form the data path knows.
 */
import type { ProxySettings } from '../../config/environment.ts';
import type { LoadedConfig } from '../../config/load.ts';
import type { RouteConfig } from '../../config/schema.ts';
import { Secret } from '../../core/secret.ts';
import type { WorkerRoute, WorkerSettings } from '../workers/protocol.ts';

/** Everything but the tokens. */
export type Plain = Omit<WorkerSettings, 'generation' | 'tokens'>;

/**
 * @param share this worker's part of what all of them have together
 * @param sourceOf position of a route's tokens
 */
export function plainSettings(
  { config, callerKeys, tls, proxy }: LoadedConfig,
  share: Share,
  sourceOf: (route: RouteConfig) => number,
): Plain {
  const { limits, timeouts, callers, routes } = config;
  const part = {
    connections: partOf(limits.connections, share),
    upstreamConnections: partOf(limits.upstreamConnections, share),
  };
  return {
    config: {
      limits: { ...limits, ...part },
      timeouts,
      callers: { allowForwarded: callers.allowForwarded, limits: callers.limits },
      routes: routes.map((route) => plainRoute(route, sourceOf(route))),
    },
    callerKeys: new Map([...callerKeys].map(([name, keys]) => [name, keys.map((key) => key.digest())])),
    tls: new Map([...tls].filter(([owner]) => owner === 'callers' || owner.startsWith('route '))),
    proxy: proxy && { https: proxy.https?.reveal(), http: proxy.http?.reveal(), noProxy: proxy.noProxy },
    level: config.log.level,
    tokenWaitMs: config.token.waitTimeout,
  };
}

export interface Share {
  /** From 0. */
  readonly index: number;
  readonly count: number;
}

/** All parts together are the whole. */
export function partOf(whole: number, { index, count }: Share): number {
  return Math.floor(whole / count) + (index < whole % count ? 1 : 0);
}

function plainRoute(route: RouteConfig, source: number): WorkerRoute {
  const { path, upstream, replayOn401, upgrade, allow, limits, idempotency, rewriteLocation, cookies } = route;
  return { path, upstream, replayOn401, upgrade, allow, limits, idempotency, rewriteLocation, cookies, source };
}

/** With keys that can be compared and proxies that cannot be printed, as in the process that loaded it. */
export function revive({ callerKeys, proxy, config, tls }: WorkerSettings) {
  const keys = [...callerKeys].map(([name, digests]) => [name, digests.map(comparable)] as const);
  return { config, tls, callerKeys: new Map(keys), proxy: proxy && hide(proxy) };
}

function comparable(digest: Buffer) {
  // The serializer may hand out plain bytes.
  const bytes = Buffer.from(digest);
  return { digest: () => bytes };
}

function hide({ https, http, noProxy = '' }: NonNullable<WorkerSettings['proxy']>): ProxySettings {
  return {
    https: https === undefined ? undefined : new Secret(https),
    http: http === undefined ? undefined : new Secret(http),
    noProxy,
  };
}
