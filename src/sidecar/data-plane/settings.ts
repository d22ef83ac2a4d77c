/**
 * One configuration as far as the data path needs it: named field by field, so that an option which holds a secret
 * tomorrow stays where it is. The same in one process and in a worker; no client secret has a place here.
 */
import type { LoadedConfig } from '../../config/load.ts';
import type { Config, RouteConfig } from '../../config/schema.ts';
import type { Secret } from '../../core/secret.ts';
import { tokenKey } from '../../oauth/credentials.ts';
import type { TokenKey } from '../../oauth/token.ts';

export interface DataPlaneSettings extends Pick<LoadedConfig, 'proxy'> {
  readonly config: Pick<Config, 'limits' | 'timeouts'> & {
    readonly callers: Pick<Config['callers'], 'allowForwarded' | 'limits'>;
    readonly log: Pick<Config['log'], 'level'>;
    readonly routes: readonly RouteSettings[];
  };
  /** By caller name; comparing takes no more than the digests. */
  readonly callerKeys: ReadonlyMap<string, readonly Pick<Secret, 'digest'>[]>;
  /** Of routes and of the callers' listeners; never of a credential. */
  readonly tls: LoadedConfig['tls'];
  /** What the routes' tokens are for, by `RouteSettings.source`. */
  readonly tokenKeys: readonly TokenKey[];
}

/** A route without what its tokens are asked for with. */
export interface RouteSettings extends Omit<RouteConfig, 'credential' | 'scope' | 'audience' | 'resource' | 'tls'> {
  /** Position of its tokens. */
  readonly source: number;
}

/** One of several equal parts of what all workers have together. */
export interface Share {
  /** From 0. */
  readonly index: number;
  readonly count: number;
}

export const WHOLE: Share = { index: 0, count: 1 };

/** Without anything that only obtaining tokens takes. */
export function dataPlaneSettings({ config, callerKeys, tls, proxy }: LoadedConfig, share: Share): DataPlaneSettings {
  const { limits, timeouts, callers, log, routes } = config;
  const keys = new Map<string, TokenKey>();
  const sources = routes.map((route) => {
    const key = tokenKey(route, config);
    const id = JSON.stringify(key);
    keys.set(id, key);
    return [...keys.keys()].indexOf(id);
  });
  const part = {
    connections: partOf(limits.connections, share),
    upstreamConnections: partOf(limits.upstreamConnections, share),
  };
  return {
    config: {
      limits: { ...limits, ...part },
      timeouts,
      callers: { allowForwarded: callers.allowForwarded, limits: callers.limits },
      log: { level: log.level },
      routes: routes.map((route, index) => routeSettings(route, sources[index] ?? 0)),
    },
    callerKeys,
    tls: new Map([...tls].filter(([owner]) => owner === 'callers' || owner.startsWith('route '))),
    proxy,
    tokenKeys: [...keys.values()],
  };
}

/** All parts together are the whole. */
export function partOf(whole: number, { index, count }: Share): number {
  return Math.floor(whole / count) + (index < whole % count ? 1 : 0);
}

function routeSettings(route: RouteConfig, source: number): RouteSettings {
  const { path, upstream, replayOn401, upgrade, allow, limits, idempotency, rewriteLocation, cookies } = route;
  return { path, upstream, replayOn401, upgrade, allow, limits, idempotency, rewriteLocation, cookies, source };
}
