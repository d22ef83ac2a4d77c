/**
 * Requests that offer an upgrade. Node detaches them from its HTTP handling, so they get their own response object and then
 * pass the same steps as every other request: gate, token, forwarder, error handling. The connection becomes a tunnel when
 * the upstream responds 101, else it carries an ordinary response.
 */
import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { endGently } from './lingering-close.ts';
import { joinConnections } from './tunnel.ts';

/** A request that Node has parsed and detached from its connection. */
export interface DetachedRequest {
  readonly req: IncomingMessage;
  readonly socket: Socket;
  /** Bytes that arrived directly after the request's head. */
  readonly behind: Buffer;
}

export interface Switch {
  /** The protocol that the upstream switches to. */
  readonly protocol: string;
  /** Flat name, value, … of the 101. */
  readonly headers: readonly string[];
  /** See `joinConnections`. */
  readonly stallMs: number;
  /** Called at the end with the number of bytes sent to the caller. */
  readonly onEnd: (bytesOut: number) => void;
}

/** A response on a connection that Node has detached. */
export class UpgradeResponse extends ServerResponse {
  readonly #connection: Socket;
  #switched = false;

  /** @param giveBack gets the connection for its next request, unless it has to close */
  constructor({ req, socket, behind }: DetachedRequest, giveBack: (socket: Socket) => void) {
    super(req);
    this.#connection = socket;
    this.shouldKeepAlive = req.httpVersion === '1.1' && !/\bclose\b/i.test(req.headers.connection ?? '');
    socket.setTimeout(0);
    if (behind.length > 0) socket.unshift(behind);
    socket.on('error', this.#onEnd).on('end', this.#onEnd).on('drain', this.#onDrain).on('readable', this.#onReadable);
    this.assignSocket(socket);
    this.once('finish', () => this.#finish(giveBack));
  }

  /**
   * Sends 101 and joins the caller's connection with the upstream's; bytes that followed the request go first. Returns
   * false and closes the upstream's if the caller is gone or the protocol is not the offered one (RFC 9110 §7.8).
   */
  switchTo(upstream: Duplex, { protocol, headers, stallMs, onEnd }: Switch): boolean {
    const caller = this.#connection;
    if (caller.destroyed || protocol.toLowerCase() !== 'websocket') {
      upstream.on('error', () => undefined).destroy();
      return false;
    }
    this.#switched = true;
    this.#letGo();
    this.sendDate = false;
    this.writeHead(101, [...headers, 'Connection', 'Upgrade', 'Upgrade', 'websocket']).end();
    const before = caller.bytesWritten;
    caller.prependOnceListener('close', () => onEnd(caller.bytesWritten - before));
    caller.once('close', () => this.#close());
    joinConnections(caller, upstream, stallMs);
    return true;
  }

  #finish(giveBack: (socket: Socket) => void): void {
    const socket = this.#connection;
    this.detachSocket(socket);
    if (this.#switched) {
      // A tunnel ends later, with its connection.
      if (socket.closed) this.#close();
      return;
    }
    this.#letGo();
    this.#close();
    if (this.shouldKeepAlive && !socket.destroyed) {
      giveBack(socket);
      return;
    }
    endGently(socket);
  }

  /** Emits `close`, as Node does for its own responses. */
  #close(): void {
    if (this.closed) return;
    this.destroyed = true;
    Object.defineProperty(this, 'closed', { value: true });
    this.emit('close');
  }

  #letGo(): void {
    const socket = this.#connection;
    socket.off('error', this.#onEnd).off('end', this.#onEnd).off('drain', this.#onDrain);
    socket.off('readable', this.#onReadable);
  }

  readonly #onEnd = (): void => void this.#connection.destroy();

  readonly #onDrain = (): void => void this.emit('drain');

  /** Detects the end of the stream without reading the bytes before it; they stay buffered up to the stream's limit. */
  readonly #onReadable = (): void => {
    if (this.#connection.readableLength === 0) this.#connection.read();
  };
}

/**
 * Returns the response to switch with, if this request may become a WebSocket on this route; its connection then serves no
 * further request. Any other offer is ignored, as RFC 9110 §7.8 allows.
 */
export function asUpgrade(res: ServerResponse, route: { readonly upgrade: boolean }): UpgradeResponse | undefined {
  const { method, httpVersion, headers } = res.req;
  const offered = method === 'GET' && httpVersion === '1.1' && headers.upgrade?.toLowerCase() === 'websocket';
  if (!route.upgrade || !offered || !(res instanceof UpgradeResponse)) return undefined;
  res.shouldKeepAlive = false;
  return res;
}
