/** The routes of one configuration with their connections, ready to be used. Their tokens come from outside. */
import type { LoadedConfig } from '../../config/load.ts';
import type { Config, RouteConfig } from '../../config/schema.ts';
import type { CallerMetrics } from '../../core/metrics.ts';
import { createEgress, type Egress, type Outbound } from '../../net/egress.ts';
import { placeOf, type ResponseLimits } from '../../net/place.ts';
import { createQueue } from '../../proxy/queue.ts';
import { createRewrite } from '../../proxy/rewrite.ts';
import type { Route, RouteTokens } from '../../proxy/route.ts';

/** Everything a data plane needs to serve requests. Contains no client secret and no access to one. */
export interface Serving {
  readonly settings: DataPlaneSettings;
  readonly tokensFor: (route: RouteConfig) => RouteTokens;
}

export interface DataPlaneSettings extends Outbound, Pick<LoadedConfig, 'callerKeys'> {
  readonly config: Pick<Config, 'limits' | 'timeouts' | 'callers' | 'routes'>;
}

/** Connections to one API. */
export interface UpstreamUse {
  readonly origin: string;
  readonly connected: number;
  readonly running: number;
  readonly queued: number;
}

export interface Routes {
  readonly list: readonly Route[];
  /** By origin and route, for `/status`. */
  upstreams(): UpstreamUse[];
  /** `close` lets running requests finish, `destroy` aborts them. */
  end(how: 'close' | 'destroy'): Promise<void>;
}

/**
 * Creates all routes; they connect on first use.
 * @example
 * const { list, end } = createRoutes({ settings, tokensFor }, metrics);
 */
export function createRoutes({ settings, tokensFor }: Serving, metrics: CallerMetrics): Routes {
  const egresses = new Map<string, { origin: string; egress: Egress }>();
  const { timeouts } = settings.config;
  const list = settings.config.routes.map((route): Route => {
    const { dispatcher, direct, wasReused, isBusy } = egressFor(route, settings, egresses);
    const { path, upstream, allow, limits, replayOn401, upgrade } = route;
    const { firstByte = timeouts.firstByte, idle = timeouts.idle, total = timeouts.total } = route.timeouts;
    return {
      ...{ path, basePath: upstream.basePath, allow, limits, replayOn401, upgrade },
      ...{ dispatcher, direct: { ...direct, firstByteMs: firstByte, idleMs: idle }, totalMs: total, wasReused },
      place: {
        ...placeOf({ base: upstream, owner: `route ${path}`, option: 'upstream' }, settings, timeouts.connect),
        limits: responseLimits(route, timeouts),
      },
      tokens: tokensFor(route),
      metrics: metrics.forRoute(path),
      rewrite: createRewrite(route),
      onReplay: metrics.replay,
      // Each caller's connection has at most one waiting request; undici also keeps abandoned ones, hence twice that.
      queue: createQueue({ most: 2 * settings.config.limits.connections, longestMs: timeouts.queue, isBusy }),
    };
  });
  const all = () => [...egresses.values()];
  return {
    list,
    upstreams: () => all().map(({ origin, egress }) => ({ origin, ...egress.stats() })),
    end: async (how) => void (await Promise.all(all().map(({ egress }) => egress[how]()))),
  };
}

/** For messages: each limit with the option that sets it. */
function responseLimits({ path, timeouts: own }: RouteConfig, timeouts: Config['timeouts']): ResponseLimits {
  const limit = (name: keyof typeof own) => {
    const seconds = (own[name] ?? timeouts[name] ?? 0) / 1000;
    return { seconds, option: own[name] === undefined ? `timeouts.${name}` : `timeouts.${name} of route ${path}` };
  };
  return { response: limit('firstByte'), body: limit('idle'), whole: limit('total') };
}

/** Routes to one origin share connections, unless they have their own TLS files. */
function egressFor(
  route: RouteConfig,
  loaded: DataPlaneSettings,
  known: Map<string, { origin: string; egress: Egress }>,
): Egress {
  const { origin } = route.upstream;
  const owner = ownerOf(route);
  const id = poolOf(route, loaded);
  const connections = loaded.config.limits.upstreamConnections;
  const warm = loaded.config.routes.some((other) => other.warm && poolOf(other, loaded) === id);
  const entry = known.get(id) ?? { origin, egress: createEgress(route.upstream, { loaded, connections, owner, warm }) };
  known.set(id, entry);
  return entry.egress;
}

function poolOf(route: RouteConfig, { tls }: DataPlaneSettings): string {
  const { origin } = route.upstream;
  return tls.has(ownerOf(route)) ? `${origin} ${route.path}` : origin;
}

function ownerOf({ path }: RouteConfig): string {
  return `route ${path}`;
}
