/**
 * What a server of node:http holds of a connection that it has read ahead of what it serves. Node parses all that has
 * arrived, up to 64 KiB, which is thousands of small requests, or of chunks, with objects of their own. Hides how they come
 * to cost next to nothing: requests behind the last one that is served all are one and the same, which nobody looks at, and
 * small pieces of a body are copied together.
 */
import { IncomingMessage, type RequestListener, type ServerOptions, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export interface ReadAhead {
  /** For the server. */
  readonly classes: Pick<ServerOptions, 'IncomingMessage' | 'ServerResponse'>;
  /** The request that has just begun is the last of its connection. Its response must say so (`shouldKeepAlive`). */
  stop(socket: Socket): void;
  /** Has at most `most` unfinished requests on a connection, and ends it after those when there are more. */
  limit(most: number, serve: RequestListener): RequestListener;
}

/** One for any number of servers. */
export function createReadAhead(): ReadAhead {
  const rests = new WeakMap<Socket, Rest>();
  /** Node calls both with `new`; what they return is what it gets. */
  function Request(socket: Socket): IncomingMessage {
    return rests.get(socket)?.take() ?? new CallerRequest(socket);
  }
  function Response(req: IncomingMessage, options: object): ServerResponse {
    return req instanceof IgnoredRequest ? req.response : new WithOptions(req, options);
  }
  const stop = (socket: Socket) => void rests.set(socket, new Rest(socket));
  return {
    classes: {
      IncomingMessage: Request as unknown as typeof IncomingMessage,
      ServerResponse: Response as unknown as typeof ServerResponse,
    },
    stop,
    limit(most, serve) {
      const unfinished = new WeakMap<Socket, number>();
      return (req, res) => {
        const { socket } = req;
        if (isIgnored(req)) return;
        const count = (unfinished.get(socket) ?? 0) + 1;
        unfinished.set(socket, count);
        res.once('close', () => unfinished.set(socket, (unfinished.get(socket) ?? 1) - 1));
        if (count >= most) {
          res.shouldKeepAlive = false;
          stop(socket);
        }
        serve(req, res);
      };
    },
  };
}

/** The types know nothing of Node's own second argument. */
const WithOptions: new (req: IncomingMessage, options: object) => ServerResponse = ServerResponse;

/** A piece of up to this size costs more as an object than as a copy. */
const SMALL_BYTES = 1024;
const BLOCK_BYTES = 4096;
/** With so many in one turn of the event loop a connection is greedy: it goes on when it is its turn. */
const MANY_PIECES = 256;

/** Of the greedy connections of the process, which share one event loop, one goes on in each of its turns. */
const greedy: (() => void)[] = [];

function goOnInTurn(goOn: () => void): void {
  if (greedy.push(goOn) === 1) setImmediate(next);
}

function next(): void {
  greedy.shift()?.();
  if (greedy.length > 0) setImmediate(next);
}

/** Hands on the first piece of its body in each turn of the event loop, and the small ones after it copied together. */
class CallerRequest extends IncomingMessage {
  #block: Buffer | undefined;
  /** Of the block. */
  #filled = 0;
  #inTurn = false;
  #pieces = 0;

  override push(piece: Buffer | null): boolean {
    const isSmall = piece !== null && piece.length <= SMALL_BYTES;
    if (isSmall && (this.#inTurn || this.readableLength > 0)) return this.#collect(piece);
    this.#flush();
    if (isSmall) {
      this.#inTurn = true;
      setImmediate(() => this.#endTurn());
    }
    return super.push(piece);
  }

  /** Whoever takes what there is to read comes for the rest here. */
  override read(size?: number): unknown {
    this.#flush();
    return super.read(size);
  }

  #collect(piece: Buffer): boolean {
    if (this.#filled + piece.length > BLOCK_BYTES) this.#flush();
    this.#block ??= Buffer.allocUnsafeSlow(BLOCK_BYTES);
    this.#filled += piece.copy(this.#block, this.#filled);
    this.#pieces += 1;
    return this.#pieces < MANY_PIECES && this.readableLength + this.#filled < this.readableHighWaterMark;
  }

  #flush(): void {
    const held = this.#block?.subarray(0, this.#filled);
    this.#block = undefined;
    this.#filled = 0;
    if (held && !this.destroyed) super.push(held);
  }

  #endTurn(): void {
    if (this.#pieces < MANY_PIECES) this.#goOn();
    else goOnInTurn(() => this.#goOn());
  }

  #goOn(): void {
    this.#inTurn = false;
    this.#pieces = 0;
    if (this.readableLength === 0) this.#flush();
  }
}

/** Stands for all requests that are not served; takes what Node does to it. */
class IgnoredRequest extends IncomingMessage {
  readonly response = new IgnoredResponse(this);

  override push(): boolean {
    return true;
  }

  override destroy(): this {
    return this;
  }
}

class IgnoredResponse extends ServerResponse {
  override on(): this {
    return this;
  }

  override writeHead(): this {
    return this;
  }

  override writeContinue(): void {
    // Nobody waits for it.
  }

  override end(): this {
    return this;
  }

  override destroy(): this {
    return this;
  }

  /** Its turn never comes. */
  override assignSocket(socket: Socket): void {
    socket.destroy();
  }
}

class Rest {
  readonly #socket: Socket;
  readonly #request: IncomingMessage;
  #pausing = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#request = new IgnoredRequest(socket);
  }

  /** The last request of the connection is complete, so nothing more has to be read. */
  take(): IncomingMessage {
    if (!this.#pausing) setImmediate(this.#pause);
    this.#pausing = true;
    return this.#request;
  }

  /** Not before Node is done with what has arrived: after every request it goes on reading. */
  readonly #pause = (): void => {
    this.#pausing = false;
    this.#socket.pause();
  };
}

/** Whether this stands for the rest of a connection that is not served any more; it has no response. */
export function isIgnored(req: IncomingMessage): boolean {
  return req instanceof IgnoredRequest;
}
