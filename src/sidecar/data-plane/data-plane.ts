/**
 * The data plane between callers and the APIs: listeners, limits, gate and routes, built from settings without client
 * secrets. It uses the rest of the sidecar only through a `Link`.
 */
import { Server as TlsServer } from 'node:https';
import type { Server } from 'node:net';
import type { TlsFiles } from '../../config/tls-files.ts';
import type { Clock } from '../../core/clock.ts';
import { createMinorGc } from '../../proxy/minor-gc.ts';
import { createQuotas } from '../../proxy/rate-limits.ts';
import { createProxy, type ProxyServer } from '../../proxy/server.ts';
import { createGenerations, type Retirable } from '../generations.ts';
import { createGate, type GateOptions, type Link } from './gate.ts';
import { createOverload } from './overload.ts';
import { createRoutes, type Routes, type Serving, type UpstreamUse } from './routes.ts';

export interface DataPlane extends Pick<ProxyServer, 'inFlight' | 'drain' | 'destroyConnections'> {
  /** Creates the server of one address; it does not listen yet. */
  createListener(tls: TlsFiles | undefined): Server;
  /** Serves all new requests with these settings. Resolves when no request with the previous ones is left. */
  use(next: Serving): Promise<void>;
  upstreams(): readonly UpstreamUse[];
  /** Aborts what still runs and closes all connections to APIs. */
  close(): Promise<void>;
}

export interface DataPlaneOptions extends Pick<GateOptions, 'hosts'> {
  readonly first: Serving;
  readonly link: Link;
  readonly clock: Clock;
  /** Heap in use as a share of its limit; default: V8's own. */
  readonly heapShare?: (() => number) | undefined;
}

/**
 * Creates the data plane; it connects to APIs on first use.
 * @example
 * const plane = createDataPlane({ first, link, hosts, clock });
 * plane.createListener(undefined).listen(7080, '127.0.0.1');
 */
export function createDataPlane({ first, link, hosts, clock, heapShare }: DataPlaneOptions): DataPlane {
  const { config } = first.settings;
  const { log, metrics, onFinished, auditor, budgets, tracing } = link;
  const overload = createOverload({ config, log, metrics, onFinished, heapShare });
  const onForwarded = createMinorGc();
  const rateLimits = createQuotas(() => clock.now().monotonicMs, budgets);
  const shared = { hosts, link, rateLimits, isMemoryShort: overload.isMemoryShort, onForwarded };
  const generations = createGenerations(createDataGeneration(first, shared));
  const { connections } = overload;
  const { gate } = generations.current();
  const headersMs = config.timeouts.callerHeaders;
  const proxy = createProxy({ gate, connections, headersMs, log, metrics, onFinished, auditor, tracing, onForwarded });
  const secure: TlsServer[] = [];
  return {
    ...proxy,
    createListener(tls) {
      const server = proxy.createListener(tls);
      if (server instanceof TlsServer) secure.push(server);
      return server;
    },
    use(next) {
      const generation = createDataGeneration(next, shared);
      const over = generations.replace(generation);
      proxy.use(generation.gate);
      const files = next.settings.tls.get('callers');
      // Open connections keep their certificate.
      if (files) for (const server of secure) server.setSecureContext(files);
      return over;
    },
    upstreams: () => generations.current().upstreams(),
    async close() {
      overload.close();
      await generations.destroy();
    },
  };
}

/** Built, used and closed as a whole: a request keeps the generation that it entered through. */
interface DataGeneration extends Retirable, Pick<Routes, 'upstreams'> {
  readonly gate: ReturnType<typeof createGate>;
}

/** Does not connect yet. */
function createDataGeneration(serving: Serving, rest: Omit<GateOptions, 'settings' | 'routes'>): DataGeneration {
  const routes = createRoutes(serving, rest.link.metrics);
  const gate = createGate({ ...rest, settings: serving.settings, routes: routes.list });
  return {
    gate,
    upstreams: routes.upstreams,
    async retire() {
      await gate.empty();
      await routes.end('close');
    },
    destroy: () => routes.end('destroy'),
  };
}
