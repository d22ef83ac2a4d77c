/**
 * Limits the memory of what node:http reads ahead on a connection. Node parses everything that arrived, up to 64 KiB:
 * thousands of small requests or chunks, each an object of its own. Here all requests after the last one served share
 * one dummy request, and small pieces of a body are merged.
 */
import { IncomingMessage, type RequestListener, type ServerOptions, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export interface ReadAhead {
  /** Options for the server. */
  readonly classes: Pick<ServerOptions, 'IncomingMessage' | 'ServerResponse'>;
  /** Makes the request that just began the last of its connection. Its response must set `shouldKeepAlive` to false. */
  stop(socket: Socket): void;
  /** Serves at most `most` unfinished requests per connection; the connection ends after them. */
  limit(most: number, serve: RequestListener): RequestListener;
}

/** One instance serves any number of servers. */
export function createReadAhead(): ReadAhead {
  const rests = new WeakMap<Socket, Rest>();
  /** Node calls both with `new` and uses the object they return. */
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

/** The types lack the second argument that Node passes. */
const WithOptions: new (req: IncomingMessage, options: object) => ServerResponse = ServerResponse;

/** Up to this size, a copy is cheaper than an object. */
const SMALL_BYTES = 1024;
const BLOCK_BYTES = 4096;
/** A connection with this many pieces in one turn of the event loop is greedy and has to queue. */
const MANY_PIECES = 256;

/** Greedy connections of the process; one of them continues in each turn of the event loop. */
const greedy: (() => void)[] = [];

function goOnInTurn(goOn: () => void): void {
  if (greedy.push(goOn) === 1) setImmediate(next);
}

function next(): void {
  greedy.shift()?.();
  if (greedy.length > 0) setImmediate(next);
}

/** In each turn of the event loop, passes on the first piece of the body and merges the small ones after it. */
class CallerRequest extends IncomingMessage {
  #block: Buffer | undefined;
  /** Bytes used in the block. */
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

  /** A reader that has emptied the stream gets the merged pieces. */
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

/** Stands for all requests that are not served; accepts every call that Node makes. */
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
    // No caller waits for it.
  }

  override end(): this {
    return this;
  }

  override destroy(): this {
    return this;
  }

  /** Never sends a response. */
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

  /** The last served request is complete, so reading stops. */
  take(): IncomingMessage {
    if (!this.#pausing) setImmediate(this.#pause);
    this.#pausing = true;
    return this.#request;
  }

  /** Runs only when Node is done with what arrived: it resumes reading after every request. */
  readonly #pause = (): void => {
    this.#pausing = false;
    this.#socket.pause();
  };
}

/** True for the dummy request after the last served one; it has no response. */
export function isIgnored(req: IncomingMessage): boolean {
  return req instanceof IgnoredRequest;
}
