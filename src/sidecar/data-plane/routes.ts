/**
 * The routes of one configuration with the connections behind them, ready to be used. Where their tokens come from is
 * somebody else's business.
 */
import type { Config, RouteConfig } from '../../config/schema.ts';
import type { CallerMetrics } from '../../core/metrics.ts';
import { createEgress, type Egress, type Outbound } from '../../net/egress.ts';
import type { Route, RouteTokens } from '../../proxy/exchange.ts';
import { createRewrite } from '../../proxy/rewrite.ts';

/** A route without what its tokens are asked for with. */
export type RouteSettings = Omit<RouteConfig, 'credential' | 'scope' | 'audience' | 'resource' | 'tls'>;

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
  /** `close` lets running requests finish, `destroy` ends them. */
  end(how: 'close' | 'destroy'): Promise<void>;
}

export interface RoutesOptions<Settings extends RouteSettings> {
  readonly loaded: Outbound & { readonly config: Pick<Config, 'timeouts' | 'limits'> };
  readonly tokensFor: (route: Settings) => RouteTokens;
  readonly metrics: Pick<CallerMetrics, 'forRoute' | 'replay'>;
}

/** Connects nowhere yet. */
export function createRoutes<Settings extends RouteSettings>(
  settings: readonly Settings[],
  options: RoutesOptions<Settings>,
): Routes {
  const egresses = new Map<string, { origin: string; egress: Egress }>();
  const list = settings.map((route) => buildRoute(route, egressFor(route, options, egresses), options));
  const all = () => [...egresses.values()];
  return {
    list,
    upstreams: () => all().map(({ origin, egress }) => ({ origin, ...egress.stats() })),
    end: async (how) => void (await Promise.all(all().map(({ egress }) => egress[how]()))),
  };
}

/** Routes to one origin share connections, unless they have TLS files of their own. */
function egressFor<Settings extends RouteSettings>(
  route: Settings,
  { loaded }: RoutesOptions<Settings>,
  known: Map<string, { origin: string; egress: Egress }>,
): Egress {
  const { origin } = route.upstream;
  const owner = `route ${route.path}`;
  const id = loaded.tls.has(owner) ? `${origin} ${route.path}` : origin;
  const connections = loaded.config.limits.upstreamConnections;
  const entry = known.get(id) ?? { origin, egress: createEgress(route.upstream, { loaded, connections, owner }) };
  known.set(id, entry);
  return entry.egress;
}

function buildRoute<Settings extends RouteSettings>(
  route: Settings,
  egress: Egress,
  { loaded, tokensFor, metrics }: RoutesOptions<Settings>,
): Route {
  return {
    path: route.path,
    basePath: route.upstream.basePath,
    allow: route.allow,
    dispatcher: egress.dispatcher,
    direct: egress.direct,
    wasReused: egress.wasReused,
    tokens: tokensFor(route),
    metrics: metrics.forRoute(route.path),
    limits: route.limits,
    replayOn401: route.replayOn401,
    upgrade: route.upgrade,
    rewrite: createRewrite(route),
    // Connecting has a time of its own, which comes first.
    queueMs: loaded.config.timeouts.queue + loaded.config.timeouts.connect,
    onReplay: metrics.replay,
  };
}
