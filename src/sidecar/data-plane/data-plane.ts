/**
 * What stands between callers and the APIs: listeners, bounds, gate and routes, built from settings without client secrets.
 * What it needs of the rest of the sidecar comes through a link.
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
  /** A server that is not listening yet, for each address. */
  createListener(tls: TlsFiles | undefined): Server;
  /** New requests are served by this from now on. Resolves when no request is left of what was in force before. */
  use(next: Serving): Promise<void>;
  upstreams(): readonly UpstreamUse[];
  close(): Promise<void>;
}

export interface DataPlaneOptions extends Pick<GateOptions, 'hosts'> {
  readonly first: Serving;
  readonly link: Link;
  readonly clock: Clock;
  /** Heap in use as a share of its limit; V8's own by default. */
  readonly heapShare?: (() => number) | undefined;
}

export function createDataPlane({ first, link, hosts, clock, heapShare }: DataPlaneOptions): DataPlane {
  const { config } = first.settings;
  const { log, metrics, onFinished, auditor } = link;
  const overload = createOverload({ config, log, metrics, onFinished, heapShare });
  const onForwarded = createMinorGc();
  const rateLimits = createQuotas(() => clock.now().monotonicMs);
  const shared = { hosts, link, rateLimits, isMemoryShort: overload.isMemoryShort, onForwarded };
  const generations = createGenerations(createDataGeneration(first, shared));
  const { connections } = overload;
  const { gate } = generations.current();
  const headersMs = config.timeouts.callerHeaders;
  const proxy = createProxy({ gate, connections, headersMs, log, metrics, onFinished, auditor, onForwarded });
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
      // Connections there are keep the certificate they began with.
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

/** Built whole, used whole, closed whole: a request keeps the one it came in through. */
interface DataGeneration extends Retirable, Pick<Routes, 'upstreams'> {
  readonly gate: ReturnType<typeof createGate>;
}

/** Connects nowhere yet. */
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
