/** A sidecar that allows WebSockets, and an API on raw sockets that responds to upgrade requests with exact bytes. */
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import type { Clock } from '../../src/core/clock.ts';
import { createProxyWorld, type ProxyWorld } from './proxy-world.ts';

/** What callers send after `Host`: the sample handshake of RFC 6455 §1.3. */
export const OFFER =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n';

export const SWITCH =
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n';

export interface Conversation {
  readonly socket: Socket;
  /** Request head with its blank line, latin1; empty until it is complete. */
  head: string;
  /** Bytes after the head. */
  rest: string;
  /** The caller's side has ended in order. */
  ended: boolean;
  closed: boolean;
}

export interface HandshakeUpstream {
  readonly url: string;
  readonly conversations: readonly Conversation[];
}

/**
 * Never closes a connection itself, not even one that the other side has closed. Stops with the test.
 * @param answer latin1 bytes to send after a complete request head
 */
export async function startHandshakeUpstream(
  answer: (head: string, index: number, socket: Socket) => string | undefined = () => SWITCH,
): Promise<HandshakeUpstream> {
  const conversations: Conversation[] = [];
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const talk: Conversation = { socket, head: '', rest: '', ended: false, closed: false };
    const index = conversations.push(talk) - 1;
    socket.on('error', () => undefined);
    socket.on('end', () => {
      talk.ended = true;
    });
    socket.on('close', () => {
      talk.closed = true;
    });
    socket.on('data', (chunk) => {
      talk.rest += chunk.toString('latin1');
      const end = talk.rest.indexOf('\r\n\r\n');
      if (talk.head !== '' || end === -1) return;
      talk.head = talk.rest.slice(0, end + 4);
      talk.rest = talk.rest.slice(end + 4);
      const bytes = answer(talk.head, index, socket);
      if (bytes !== undefined) socket.write(bytes, 'latin1');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    for (const { socket } of conversations) socket.destroy();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, conversations };
}

/** Routes `/api` (upgrades), `/plain` (none) and `/listed` (upgrades, only `GET /yes` and `POST /no`). */
export function createUpgradeWorld(upstream: string, options: UpgradeWorldOptions = {}): Promise<ProxyWorld> {
  const { config, clock } = options;
  const routes = [
    { path: '/api', upstream, upgrade: true },
    { path: '/plain', upstream },
    { path: '/listed', upstream, upgrade: true, allow: ['GET /yes', 'POST /no'] },
  ];
  return createProxyWorld({ upstream, config: { routes, ...config }, ...(clock && { clock }) });
}

export interface UpgradeWorldOptions {
  readonly config?: Readonly<Record<string, unknown>>;
  readonly clock?: Clock;
}
