/**
 * How the sidecar connects out, to APIs and token endpoints alike: bound to one origin for life, HTTP/1.1, through the
 * company's proxy where there is one (by CONNECT only, so the proxy sees neither secret nor token), with its own CA and
 * client certificate where configured.
 */
import { buildConnector, type Dispatcher, Pool } from 'undici';
import type { LoadedConfig } from '../config/load.ts';
import type { BaseUrl } from '../config/parsers.ts';
import { createTunnels, proxyFor } from './outbound-proxy.ts';
import { createReadyConnection, type ReadyConnection } from './ready-connection.ts';
import { tolerate } from './upstream-socket.ts';

const BUSY_MS = 10;

/** Connections to the same server in the same way, each for one user alone, who has to end it: outside the pool and its bound. */
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
   * True for the failure of a connection that had carried a response before, and nothing since: the server may have closed
   * it just as the request left, which says nothing about the server (RFC 9112 §9.3.1).
   */
  wasReused(error: Error): boolean;
  /** Whether requests wait for a connection to become free. */
  isBusy(): boolean;
  /** What goes on now. */
  stats(): { connected: number; running: number; queued: number };
  /** Lets running requests finish. */
  close(): Promise<void>;
  destroy(): Promise<void>;
}

/** How far, through whom and with which certificates. */
export interface Outbound extends Pick<LoadedConfig, 'proxy' | 'tls'> {
  readonly config: Pick<LoadedConfig['config'], 'timeouts'> & {
    readonly limits: Pick<LoadedConfig['config']['limits'], 'keepAlive'>;
  };
}

export interface EgressOptions {
  readonly loaded: Outbound;
  readonly connections: number;
  /** For servers with small responses: closes a connection on which more arrives. Default: no bound. */
  readonly maxBytes?: number;
  /** Whether one connection is kept ready while there is none in use. */
  readonly warm?: boolean;
  /** Whose TLS files apply: `credential NAME` or `route PATH`. */
  readonly owner: string;
}

type Timeouts = Outbound['config']['timeouts'];

/** Nothing a caller sends can choose where a request goes. */
export function createEgress(base: BaseUrl, options: EgressOptions): Egress {
  const { config, proxy, tls } = options.loaded;
  const connectMs = config.timeouts.connect;
  const own = base.secure ? tls.get(options.owner) : undefined;
  const directly = buildConnector({ ...own, timeout: connectMs, allowH2: false });
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
    isNeeded: () => pool.stats.connected === 0,
  });
  const pool = new Pool(base.origin, {
    connections: options.connections,
    // HTTP/1.1 only: its framing is what the tests pin down, and one request per connection cannot mix up responses.
    allowH2: false,
    pipelining: 1,
    useMilo: false,
    // Also where the server announces more: firewalls forget idle connections silently, and a lost POST is a question.
    keepAliveTimeout: config.limits.keepAlive,
    keepAliveMaxTimeout: config.limits.keepAlive,
    headersTimeout: config.timeouts.firstByte,
    bodyTimeout: config.timeouts.idle,
    // One connection may carry several responses within its bound.
    ...(options.maxBytes && { maxRequestsPerClient: 10 }),
    connect: ready.connect,
  });
  if (options.warm) keepWarm(pool, ready);
  const end = (how: 'close' | 'destroy') => {
    ready.end();
    return pool[how]().finally(tunnels?.destroy);
  };
  return {
    dispatcher: pool,
    direct: directTo(base, connector, config.timeouts),
    wasReused: (error) => stale.has(error),
    isBusy: remembered(() => pool.stats.queued > 0),
    stats: () => ({ connected: pool.stats.connected, running: pool.stats.running, queued: pool.stats.queued }),
    close: () => end('close'),
    destroy: () => end('destroy'),
  };
}

/** The connections of the pool do as long as there are any. */
function keepWarm(pool: Pool, ready: ReadyConnection): void {
  pool.on('disconnect', () => {
    if (pool.stats.connected === 0) ready.prepare();
  });
  ready.prepare();
}

/** A yes is good for some ms: the pool counts all its connections for it, and is asked by everyone who has to wait. */
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

/** undici's own limits count bodies and headers, not what a parser skips: chunk extensions, reasons, 1xx responses. */
function watched(connector: buildConnector.connector, { onStale, maxBytes }: Watch): buildConnector.connector {
  // undici remembers TLS sessions by weak references alone: without another they are gone before the next handshake.
  const sessions: Buffer[] = [];
  return (options, done) =>
    connector(options, (...result) => {
      const [, socket] = result;
      if (socket) tolerate(socket, onStale);
      socket?.on('session', (session: Buffer) => void sessions.splice(0, 1, session));
      const before = socket?.bytesRead ?? 0;
      if (maxBytes < Number.POSITIVE_INFINITY) {
        socket?.prependListener('readable', () => {
          if (socket.bytesRead - before > maxBytes) socket.destroy(new Error('more than any response needs'));
        });
      }
      done(...result);
    });
}
