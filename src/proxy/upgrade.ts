/**
 * Requests that offer an upgrade. Node lets go of their connection, so they get a response object of their own, with which
 * they pass through the very steps of every other request: the gate, the token, the forwarder, the one catch. In the end
 * it either becomes a tunnel, because the upstream said 101, or carries an ordinary response.
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
  /** Bytes that came right behind the request's head. */
  readonly behind: Buffer;
}

export interface Switch {
  /** What the upstream switches to. */
  readonly protocol: string;
  /** Flat name, value, … of the 101. */
  readonly headers: readonly string[];
  /** See `joinConnections`. */
  readonly stallMs: number;
  /** Told at the end how many bytes went to the caller. */
  readonly onEnd: (bytesOut: number) => void;
}

export class UpgradeResponse extends ServerResponse {
  readonly #connection: Socket;
  #switched = false;

  /** @param giveBack takes the connection for its next request, where there may be one */
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
   * Sends 101 and joins the caller's connection with the upstream's; what came behind the request goes first. False,
   * and the upstream's is closed, if nobody is there any more or the protocol is not the one offered (RFC 9110 §7.8).
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
      // Over only when the tunnel is.
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

  /** What Node does for its own responses. */
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

  /** Notices an end without taking what came before it: up to the stream's own bound that waits where it is. */
  readonly #onReadable = (): void => {
    if (this.#connection.readableLength === 0) this.#connection.read();
  };
}

/**
 * The response to use for the switch, if this request may become a WebSocket on this route; its connection then serves
 * nothing else. Every other offer is left out, as a server may (RFC 9110 §7.8).
 */
export function asUpgrade(res: ServerResponse, route: { readonly upgrade: boolean }): UpgradeResponse | undefined {
  const { method, httpVersion, headers } = res.req;
  const offered = method === 'GET' && httpVersion === '1.1' && headers.upgrade?.toLowerCase() === 'websocket';
  if (!route.upgrade || !offered || !(res instanceof UpgradeResponse)) return undefined;
  res.shouldKeepAlive = false;
  return res;
}
