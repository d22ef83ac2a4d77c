/**
 * Connections to APIs and token endpoints. Each egress is bound to one origin and speaks HTTP/1.1. It uses the outbound
 * proxy where one applies (only by CONNECT, so the proxy gets neither secret nor token), and the configured CA and
 * client certificate.
 */
import { buildConnector, type Dispatcher, Pool } from 'undici';
import type { LoadedConfig } from '../config/load.ts';
import type { BaseUrl } from '../config/parsers.ts';
import { createTunnels, proxyFor } from './outbound-proxy.ts';
import { createReadyConnection, type ReadyConnection } from './ready-connection.ts';
import { countAsUsed, createReadOptions, type ReadOptions, tolerate } from './upstream-socket.ts';

const BUSY_MS = 10;

/** Opens single connections to the same server, outside the pool and its limit. The user of a connection closes it. */
export interface Direct {
  /** For `Host`. */
  readonly host: string;
  readonly firstByteMs: number;
  readonly idleMs: number;
  open(done: buildConnector.Callback): void;
}

export interface Egress {
  readonly dispatcher: Dispatcher;
  readonly direct: Direct;
  /**
   * True for the error of a connection that was reused, or open before its first request, and received nothing since the
   * last request: the server may have closed it just as the request was sent, so the request can be sent again (RFC 9112
   * §9.3.1).
   */
  wasReused(error: Error): boolean;
  /** True while requests wait for a free connection. */
  isBusy(): boolean;
  /** Current connections, running and waiting requests. */
  stats(): { connected: number; running: number; queued: number };
  /** Opens one connection for a request that follows soon, unless there is one. Fails quietly. */
  prepare(): void;
  /** Closes after running requests have finished. */
  close(): Promise<void>;
  destroy(): Promise<void>;
}

/** Timeouts, proxy and certificates. */
export interface Outbound extends Pick<LoadedConfig, 'proxy' | 'tls'> {
  readonly config: Pick<LoadedConfig['config'], 'timeouts'> & {
    readonly limits: Pick<LoadedConfig['config']['limits'], 'keepAlive'>;
  };
}

export interface EgressOptions {
  readonly loaded: Outbound;
  readonly connections: number;
  /** For servers with small responses: a connection that receives more is closed. Default: no limit. */
  readonly maxBytes?: number;
  /** Keep one connection ready while none is in use. */
  readonly warm?: boolean;
  /** Owner of the TLS files: `credential NAME` or `route PATH`. */
  readonly owner: string;
}

type Timeouts = Outbound['config']['timeouts'];

/** Creates the connections to `base`. Nothing in a request can select another server. */
export function createEgress(base: BaseUrl, options: EgressOptions): Egress {
  const { config, proxy, tls } = options.loaded;
  const connectMs = config.timeouts.connect;
  const own = base.secure ? tls.get(options.owner) : undefined;
  const directly = buildConnector({ ...own, ...readOptions(base), timeout: connectMs, allowH2: false });
  const via = proxyFor(base, proxy);
  const tunnels = via && createTunnels(via, directly, connectMs);
  const stale = new WeakSet<Error>();
  const watch = {
    onStale: (error: Error) => void stale.add(error),
    maxBytes: options.maxBytes ?? Number.POSITIVE_INFINITY,
  };
  const connector = watched(tunnels?.connect ?? directly, watch);
  const ready = createReadyConnection({
    connector,
    target: targetOf(base),
    keepMs: config.limits.keepAlive,
    isNeeded: () => options.warm === true && pool.stats.connected === 0,
    onTaken: countAsUsed,
  });
  const pool = new Pool(base.origin, {
    connections: options.connections,
    // HTTP/1.1 only: the tests cover its framing, and one request per connection cannot mix up responses.
    allowH2: false,
    pipelining: 1,
    useMilo: false,
    // Even if a server offers more: firewalls drop idle connections silently, and the outcome of a lost POST is unknown.
    keepAliveTimeout: config.limits.keepAlive,
    keepAliveMaxTimeout: config.limits.keepAlive,
    headersTimeout: config.timeouts.firstByte,
    bodyTimeout: config.timeouts.idle,
    // `maxBytes` counts all responses of a connection, so few requests share one.
    ...(options.maxBytes && { maxRequestsPerClient: 10 }),
    connect: ready.connect,
  });
  const end = (how: 'close' | 'destroy') => {
    ready.end();
    return pool[how]().finally(tunnels?.destroy);
  };
  return {
    dispatcher: pool,
    direct: directTo(base, connector, config.timeouts),
    wasReused: (error) => stale.has(error),
    isBusy: remembered(() => pool.stats.queued > 0),
    prepare: preparer(pool, ready, options.warm),
    stats: () => ({ connected: pool.stats.connected, running: pool.stats.running, queued: pool.stats.queued }),
    close: () => end('close'),
    destroy: () => end('destroy'),
  };
}

/** TLS hands over decrypted bytes, in pieces of at most 16 KiB. */
function readOptions({ secure }: BaseUrl): Partial<ReadOptions> {
  return secure ? {} : createReadOptions();
}

/** Returns the function that prepares a connection if the pool has none. @param warm call it whenever that is so */
function preparer(pool: Pool, ready: ReadyConnection, warm = false): () => void {
  const prepare = () => {
    if (pool.stats.connected === 0) ready.prepare();
  };
  if (warm) {
    pool.on('disconnect', prepare);
    prepare();
  }
  return prepare;
}

/** Caches true for some ms: the pool iterates over all connections, and every waiting request asks. */
function remembered(isBusy: () => boolean): () => boolean {
  let until = 0;
  return () => {
    const now = performance.now();
    if (now >= until && isBusy()) until = now + BUSY_MS;
    return now < until;
  };
}

function targetOf({ origin }: BaseUrl): buildConnector.Options {
  const { protocol, host, port, hostname } = new URL(origin);
  return { protocol, host, port, hostname: hostname.replace(/^\[(.*)\]$/, '$1') };
}

function directTo(base: BaseUrl, connect: buildConnector.connector, timeouts: Timeouts): Direct {
  const target = targetOf(base);
  return {
    host: target.host ?? '',
    firstByteMs: timeouts.firstByte,
    idleMs: timeouts.idle,
    open: (done) => connect(target, done),
  };
}

interface Watch {
  readonly onStale: (error: Error) => void;
  readonly maxBytes: number;
}

/** undici limits bodies and headers, but not what its parser skips: chunk extensions, reason phrases, 1xx responses. */
function watched(connector: buildConnector.connector, { onStale, maxBytes }: Watch): buildConnector.connector {
  // undici holds TLS sessions by weak references only: without a strong one they are gone before the next handshake.
  const sessions: Buffer[] = [];
  return (options, done) =>
    connector(options, (...result) => {
      const [, socket] = result;
      if (socket) tolerate(socket, onStale);
      socket?.on('session', (session: Buffer) => void sessions.splice(0, 1, session));
      const before = socket?.bytesRead ?? 0;
      if (maxBytes < Number.POSITIVE_INFINITY) {
        socket?.prependListener('readable', () => {
          if (socket.bytesRead - before > maxBytes) socket.destroy(new Error('response too large'));
        });
      }
      done(...result);
    });
}
