/**
 * How the sidecar connects out, to APIs and token endpoints alike.
 */
import { Pool } from 'undici';
import type { Config } from './config/schema.ts';
import type { BaseUrl } from './config/values.ts';

/** However long a server offers to wait: firewalls forget idle connections silently, and a lost POST is a question. */
const MAX_IDLE_MS = 60_000;

/** Bound to one origin for life: nothing a caller sends can choose where a request goes. */
export function createPool({ origin }: BaseUrl, config: Config, connections: number): Pool {
  return new Pool(origin, {
    connections,
    // HTTP/1.1 only: its framing is what the tests pin down, and one request per connection cannot mix answers up.
    allowH2: false,
    pipelining: 1,
    useMilo: false,
    keepAliveMaxTimeout: MAX_IDLE_MS,
    connect: { timeout: config.timeouts.connect },
    headersTimeout: config.timeouts.firstByte,
    bodyTimeout: config.timeouts.idle,
  });
}
