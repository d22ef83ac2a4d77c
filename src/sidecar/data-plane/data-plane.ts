/**
 * What stands between callers and the APIs: listeners, bounds, gate and routes, built from settings without secrets. The
 * same whether it runs beside the tokens or in a worker of its own; what it needs from there comes through a link.
 */

import { Server as TlsServer } from 'node:https';
import type { Server } from 'node:net';
import type { TlsFiles } from '../../config/secret-files.ts';
import { createMinorGc } from '../../proxy/minor-gc.ts';
import { createProxy, type Proxy } from '../../proxy/server.ts';
import { createGenerations } from '../generations.ts';
import type { GateOptions, Link } from './gate.ts';
import { createDataGeneration, type Serving } from './generation.ts';
import { createOverload } from './overload.ts';
import type { UpstreamUse } from './routes.ts';

export interface DataPlane<Next = Serving> extends Pick<Proxy, 'inFlight' | 'drain' | 'destroyConnections'> {
  /** A server that is not listening yet, for each address. */
  createListener(tls: TlsFiles | undefined): Server;
  /** New requests are served by this from now on. Resolves when no request is left of what was in force before. */
  use(next: Next): Promise<void>;
  upstreams(): readonly UpstreamUse[];
  close(): Promise<void>;
}

export interface DataPlaneOptions extends Pick<GateOptions, 'hosts'> {
  readonly first: Serving;
  readonly link: Link;
  /** Heap in use as a share of its limit; V8's own by default. */
  readonly heapShare?: (() => number) | undefined;
}

export function createDataPlane({ first, link, hosts, heapShare }: DataPlaneOptions): DataPlane {
  const { config } = first.settings();
  const { log, metrics, onFinished, auditor } = link;
  const overload = createOverload({ config, log, metrics, heapShare });
  const onForwarded = createMinorGc();
  const shared = { hosts, link, isMemoryShort: overload.isMemoryShort, onForwarded };
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
      const files = next.settings().tls.get('callers');
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
