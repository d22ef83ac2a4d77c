/**
 * The server for callers: plain node:http, and only the files of this folder between a caller and the API. Accepts requests
 * on any number of listeners, and drains before it stops.
 */
import type { Server } from 'node:http';
import type { SidecarError } from '../core/errors.ts';
import { failureFields } from '../core/failure.ts';
import { onceIn } from '../core/log.ts';
import { createReadAhead } from '../core/read-ahead.ts';
import type { Gate, ProxyContext } from './exchange.ts';
import { createRequestIds } from './exchange.ts';
import { createListener, type Listener, type ListenerTls } from './http-server.ts';
import { serveRequests } from './request.ts';
import { createWriteBatch } from './response-writer.ts';

export interface ProxyOptions
  extends Pick<
    ProxyContext,
    'gate' | 'connections' | 'log' | 'metrics' | 'onFinished' | 'auditor' | 'tracing' | 'onForwarded'
  > {
  /** Time limit for request headers, ms. */
  readonly headersMs: number;
}

export interface ProxyServer {
  /** Creates the listener of one address; all listeners share the counters. */
  createListener(tls: ListenerTls | undefined): Server;
  /** Uses this gate for all new requests. */
  use(gate: Gate): void;
  inFlight(): number;
  /** From now on responses close their connection; resolves once no request runs and no tunnel is open. */
  drain(): Promise<void>;
  /** Closes the connections of all running requests. */
  destroyConnections(): void;
}

/** Shortest time between two log lines about refused connections. */
const LOG_EVERY_MS = 10_000;

/**
 * Creates the server for callers; it does not listen yet.
 * @example
 * const proxy = createProxy(options);
 * proxy.createListener(undefined).listen(7080, '127.0.0.1');
 */
export function createProxy(options: ProxyOptions): ProxyServer {
  const { log, metrics, connections, headersMs } = options;
  const readAhead = createReadAhead();
  const context: ProxyContext = {
    ...options,
    draining: false,
    unrouted: metrics.forRoute('none'),
    nextRequestId: createRequestIds(),
    writeBatch: createWriteBatch(),
    readAhead,
  };
  const begin = serveRequests(context);
  const mayLog = onceIn(LOG_EVERY_MS);
  const onRefused = ({ code, extras }: SidecarError) => {
    metrics.error(code);
    if (mayLog()) log.warn('a connection was refused before it was served', { code, ...failureFields(extras.failure) });
  };
  const listeners: Listener[] = [];
  return {
    createListener(tls) {
      const listener = createListener({ begin, headersTimeout: headersMs, tls, connections, readAhead, onRefused });
      listeners.push(listener);
      return listener.server;
    },
    use(gate) {
      context.gate = gate;
    },
    inFlight: connections.inFlight,
    drain() {
      context.draining = true;
      for (const { endIdle } of listeners) endIdle();
      for (const res of connections.unfinished()) res.shouldKeepAlive = false;
      return connections.none();
    },
    destroyConnections() {
      for (const { req } of connections.unfinished()) req.socket.destroy();
    },
  };
}
