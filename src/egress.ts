/**
 * How the sidecar connects out, to APIs and token endpoints alike.
 */
import { buildConnector, Pool } from 'undici';
import type { Config } from './config/schema.ts';
import type { BaseUrl } from './config/values.ts';

/** However long a server offers to wait: firewalls forget idle connections silently, and a lost POST is a question. */
const MAX_IDLE_MS = 60_000;

export interface Egress {
  readonly pool: Pool;
  /**
   * True for the failure of a connection that had carried an answer before: the server may have closed it just as the
   * request left, which says nothing about the server (RFC 9112 §9.3.1).
   */
  wasReused(error: Error): boolean;
}

/** Bound to one origin for life: nothing a caller sends can choose where a request goes. */
export function createEgress({ origin }: BaseUrl, config: Config, connections: number): Egress {
  const reused = new WeakSet<Error>();
  const connect = buildConnector({ timeout: config.timeouts.connect, allowH2: false });
  const pool = new Pool(origin, {
    connections,
    // HTTP/1.1 only: its framing is what the tests pin down, and one request per connection cannot mix answers up.
    allowH2: false,
    pipelining: 1,
    useMilo: false,
    keepAliveMaxTimeout: MAX_IDLE_MS,
    connect(options, done) {
      connect(options, (...result) => {
        const [, socket] = result;
        socket?.once('error', (error) => {
          if (socket.bytesRead > 0) reused.add(error);
        });
        done(...result);
      });
    },
    headersTimeout: config.timeouts.firstByte,
    bodyTimeout: config.timeouts.idle,
  });
  return { pool, wasReused: (error) => reused.has(error) };
}
