/**
 * The port callers use: plain node:http, nothing between a caller and the bank but the files of this folder. Accepts on
 * any number of listeners, and drains on the way out.
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
  extends Pick<ProxyContext, 'gate' | 'connections' | 'log' | 'metrics' | 'onFinished' | 'auditor' | 'onForwarded'> {
  /** Time a caller has for its request headers, ms. */
  readonly headersMs: number;
}

export interface ProxyServer {
  /** A new listener for every address; all of them share the counters. */
  createListener(tls: ListenerTls | undefined): Server;
  /** Requests that begin from now on pass through this gate. */
  use(gate: Gate): void;
  inFlight(): number;
  /** Responses from now on close their connection; resolves once no request is running and no tunnel open. */
  drain(): Promise<void>;
  /** Ends what still runs. */
  destroyConnections(): void;
}

/** Between two lines about connections that never had a request. */
const LOG_EVERY_MS = 10_000;

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
