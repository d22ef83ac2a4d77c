/**
 * The routes of one configuration with the connections behind them, ready to be used. Where their tokens come from is
 * somebody else's business.
 */
import { SidecarError } from '../../core/errors.ts';
import type { CallerMetrics } from '../../core/metrics.ts';
import { createEgress, type Egress } from '../../net/egress.ts';
import { createRewrite } from '../../proxy/rewrite.ts';
import type { Route, RouteTokens } from '../../proxy/route.ts';
import type { DataPlaneSettings, RouteSettings } from './settings.ts';

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

interface Parts {
  readonly settings: DataPlaneSettings;
  readonly tokens: readonly RouteTokens[];
  readonly metrics: Pick<CallerMetrics, 'forRoute' | 'replay'>;
}

/** Connects nowhere yet. @param tokens by `RouteSettings.source` */
export function createRoutes(parts: Parts): Routes {
  const egresses = new Map<string, { origin: string; egress: Egress }>();
  const list = parts.settings.config.routes.map((route) =>
    buildRoute(route, egressFor(route, parts.settings, egresses), parts),
  );
  const all = () => [...egresses.values()];
  return {
    list,
    upstreams: () => all().map(({ origin, egress }) => ({ origin, ...egress.stats() })),
    end: async (how) => void (await Promise.all(all().map(({ egress }) => egress[how]()))),
  };
}

/** Routes to one origin share connections, unless they have TLS files of their own. */
function egressFor(
  route: RouteSettings,
  loaded: DataPlaneSettings,
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

function buildRoute(route: RouteSettings, egress: Egress, { settings, tokens, metrics }: Parts): Route {
  const { timeouts } = settings.config;
  const source = tokens[route.source];
  if (!source) throw new SidecarError('SIDECAR_INTERNAL', { fields: { route: route.path } });
  return {
    path: route.path,
    basePath: route.upstream.basePath,
    allow: route.allow,
    dispatcher: egress.dispatcher,
    wasReused: egress.wasReused,
    tokens: source,
    metrics: metrics.forRoute(route.path),
    limits: route.limits,
    replayOn401: route.replayOn401,
    upgrade: route.upgrade,
    rewrite: createRewrite(route),
    // Connecting has a time of its own, which comes first.
    queueMs: timeouts.queue + timeouts.connect,
    onReplay: metrics.replay,
  };
}
