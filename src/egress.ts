/**
 * How the sidecar connects out, to APIs and token endpoints alike: bound to one origin for life, HTTP/1.1, through the
 * company's proxy where there is one (by CONNECT only, so the proxy sees neither secret nor token), with its own CA and
 * client certificate where configured.
 */
import { buildConnector, type Dispatcher, EnvHttpProxyAgent, Pool } from 'undici';
import type { LoadedConfig } from './config/load.ts';
import { type BaseUrl, isLoopback } from './config/values.ts';

export interface Egress {
  readonly dispatcher: Dispatcher;
  /**
   * True for the failure of a connection that had carried an answer before: the server may have closed it just as the
   * request left, which says nothing about the server (RFC 9112 §9.3.1).
   */
  wasReused(error: Error): boolean;
  /** What goes on now; zeros where a proxy is in between. */
  stats(): { connected: number; running: number; queued: number };
  /** Lets running requests finish. */
  close(): Promise<void>;
  destroy(): Promise<void>;
}

export interface EgressOptions {
  readonly loaded: LoadedConfig;
  readonly connections: number;
  /** Whose TLS files apply: `credential NAME` or `route PATH`. */
  readonly owner: string;
}

/** However long a server offers to wait: firewalls forget idle connections silently, and a lost POST is a question. */
const MAX_IDLE_MS = 60_000;

/** Nothing a caller sends can choose where a request goes. */
export function createEgress({ origin, hostname, secure }: BaseUrl, options: EgressOptions): Egress {
  const { config, proxy, tls } = options.loaded;
  const common = {
    connections: options.connections,
    // HTTP/1.1 only: its framing is what the tests pin down, and one request per connection cannot mix answers up.
    allowH2: false,
    pipelining: 1,
    useMilo: false,
    keepAliveMaxTimeout: MAX_IDLE_MS,
    headersTimeout: config.timeouts.firstByte,
    bodyTimeout: config.timeouts.idle,
  };
  const connect = { timeout: config.timeouts.connect, ...(secure && tls.get(options.owner)) };
  if (proxy === undefined || isLoopback(hostname)) return direct(origin, common, connect);
  // Spelled out, so that undici does not look into the environment itself.
  const uris = {
    httpsProxy: proxy.https?.reveal() ?? '',
    httpProxy: proxy.http?.reveal() ?? '',
    noProxy: proxy.noProxy,
  };
  return proxied(
    origin,
    new EnvHttpProxyAgent({ ...common, ...uris, connect, requestTls: connect, proxyTunnel: true }),
  );
}

function direct(origin: string, common: Pool.Options, settings: buildConnector.BuildOptions): Egress {
  const reused = new WeakSet<Error>();
  const connector = buildConnector({ ...settings, allowH2: false });
  const pool = new Pool(origin, {
    ...common,
    connect(options, done) {
      connector(options, (...result) => {
        const [, socket] = result;
        socket?.once('error', (error) => {
          if (socket.bytesRead > 0) reused.add(error);
        });
        done(...result);
      });
    },
  });
  return {
    dispatcher: pool,
    wasReused: (error) => reused.has(error),
    stats: () => ({ connected: pool.stats.connected, running: pool.stats.running, queued: pool.stats.queued }),
    close: () => pool.close(),
    destroy: () => pool.destroy(),
  };
}

/** An agent goes wherever a request says; this one is told the same origin every time. */
function proxied(origin: string, agent: EnvHttpProxyAgent): Egress {
  return {
    dispatcher: agent.compose((dispatch) => (options, handler) => dispatch({ ...options, origin }, handler)),
    wasReused: () => false,
    stats: () => ({ connected: 0, running: 0, queued: 0 }),
    close: () => agent.close(),
    destroy: () => agent.destroy(),
  };
}
