/**
 * Writes the content of a response to the caller: with backpressure, a time limit for callers that do not read, and few
 * writes. A small response leaves in one write with its head. The ends of all responses of one turn of the event loop are
 * written together, after everything that has arrived is read: the first write wakes the receiving process, the others find
 * it awake. Written one by one, each would cost a wake-up, which is more expensive than the write.
 */
import type { Dispatcher } from 'undici';
import { SidecarError } from '../core/errors.ts';
import { recycle } from '../net/read-buffers.ts';
import { conclude } from './audit-trail.ts';
import type { Ending, Exchange, WriteBatch } from './exchange.ts';

/** A response up to this size that arrives in one piece leaves in one piece: a copy costs less than a second write. */
const MAX_WHOLE_BYTES = 16 * 1024;
/** Pieces up to this size are collected: a separate write costs more than a copy. */
const SMALL_BYTES = 1024;
const BLOCK_BYTES = 16 * 1024;
/** At most this many writes wait for a caller, however short they are: each needs its own objects. */
const MAX_WAITING_WRITES = 64;
/** At most this many bytes wait for a caller; not less than the `highWaterMark` of sockets, which decides about `drain`. */
const MAX_WAITING_BYTES = 64 * 1024;
/** At most this many pieces are read in one turn of the event loop; then other connections get their turn. */
const MAX_PIECES = 512;

/** Creates the write batch; one per process. */
export function createWriteBatch(): WriteBatch {
  let waiting: Ending[] = [];
  const writeAll = () => {
    const together = waiting;
    waiting = [];
    for (const ending of together) ending.writeEnd();
  };
  return (ending) => {
    waiting.push(ending);
    if (waiting.length === 1) setImmediate(writeAll);
  };
}

/** Settles the promise that waits for the end of a response. */
export type Settle = Pick<PromiseWithResolvers<void>, 'resolve' | 'reject'>;

/** Writes one response, from its head on. The class that sends the request extends it, to save an object per request. */
export class ResponseWriter {
  protected readonly exchange: Exchange;
  protected readonly settle: Settle;
  #upstream: Dispatcher.DispatchController | undefined;
  #length: string | string[] | undefined;
  /** The whole content, to leave together with the head. */
  #whole: Buffer | undefined;
  #stall: NodeJS.Timeout | undefined;
  /** Writes since the caller had read everything. */
  #writes = 0;
  /** Collects the small pieces of this turn after the first one; filled up to `#filled`. */
  #block: Buffer | undefined;
  #filled = 0;
  #pieces = 0;
  /** Content that arrived while the audit log is not written yet. */
  #held: Buffer[] | undefined;
  #heldEnd = false;

  /** @param settle resolved when everything is handed to the caller's connection, rejected when that fails */
  constructor(exchange: Exchange, settle: Settle) {
    this.exchange = exchange;
    this.settle = settle;
  }

  /** Forwards an interim response (RFC 9110 §15.2), except to HTTP/1.0 callers. */
  inform(status: number, headers: readonly string[]): void {
    const { req, res } = this.exchange;
    if (req.httpVersion === '1.0' || status < 102 || res.headersSent || res.destroyed) return;
    if ('writeInformation' in res) (res as Informing).writeInformation(status, headers);
  }

  /** Starts the content; the head is already written and leaves with it. @param length the Content-Length of the response */
  begin(upstream: Dispatcher.DispatchController, length: string | string[] | undefined): void {
    this.#upstream = upstream;
    const cleared = this.exchange.intent && conclude(this.exchange, this.exchange.res.statusCode);
    if (cleared !== undefined) {
      this.#held = [];
      upstream.pause();
      void cleared.then(() => this.#clear());
    }
    // During an upload, an early response must not wait for its own end.
    this.#length = this.exchange.body.kind === 'stream' ? undefined : length;
  }

  #clear(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    if (!this.exchange.res.destroyed) for (const chunk of held) this.write(chunk);
    if (this.#heldEnd) this.end();
    else if (this.#stall === undefined) this.#upstream?.resume();
  }

  write(chunk: Buffer): void {
    if (this.#held) {
      // `pause` does not stop an API that has closed its connection: the rest comes at once.
      this.#held.push(chunk);
      return;
    }
    // undici passes an empty piece on after each pause.
    if (chunk.length === 0) return;
    this.exchange.bytesOut += chunk.length;
    if (chunk.length <= MAX_WHOLE_BYTES && this.#length === String(chunk.length)) {
      this.#whole = chunk;
      return;
    }
    if (chunk.length > SMALL_BYTES) {
      this.#writeBlock();
      this.#sendAtOnce(chunk);
      return;
    }
    this.exchange.context.onForwarded(chunk.length);
    this.#pieces += 1;
    if (this.#pieces === 1) {
      process.nextTick(this.#endTurn);
      this.#send(chunk);
    } else this.#collect(chunk);
    if (this.#pieces === MAX_PIECES) this.#yield();
  }

  readonly #endTurn = (): void => {
    this.#pieces = 0;
    this.#writeBlock();
  };

  #yield(): void {
    this.#upstream?.pause();
    setImmediate(() => {
      if (this.#stall === undefined) this.#upstream?.resume();
    });
  }

  /** Copies a small piece into the block: small pieces of an API arrive many at a time. */
  #collect(piece: Buffer): void {
    if (this.#filled + piece.length > BLOCK_BYTES) this.#writeBlock();
    this.#block ??= Buffer.allocUnsafeSlow(BLOCK_BYTES);
    this.#filled += piece.copy(this.#block, this.#filled);
  }

  #writeBlock(): void {
    const block = this.#block?.subarray(0, this.#filled);
    this.#block = undefined;
    this.#filled = 0;
    if (block && !this.exchange.res.destroyed) this.#send(block);
  }

  #send(chunk: Buffer): void {
    const { res } = this.exchange;
    this.#writes = res.writableLength > 0 ? this.#writes + 1 : 1;
    const areMany = this.#writes >= MAX_WAITING_WRITES;
    const isFull = !res.write(chunk, areMany ? this.#onDrain : undefined);
    if (areMany || isFull) this.#wait(areMany);
  }

  /** Without waiting for the end of the turn, as node:http does: then the system's buffers tell whether there is room. */
  #sendAtOnce(chunk: Buffer): void {
    const { res } = this.exchange;
    const { socket } = res;
    socket?.cork();
    res.write(chunk);
    socket?.uncork();
    if (res.writableLength === 0 && recycle(chunk)) return;
    this.exchange.context.onForwarded(chunk.length);
    if (res.writableLength >= MAX_WAITING_BYTES) this.#wait(false);
  }

  /** Reads no more until the caller has read everything. */
  #wait(hasCallback: boolean): void {
    if (this.#stall !== undefined) return;
    if (!hasCallback) this.exchange.res.once('drain', this.#onDrain);
    this.#upstream?.pause();
    const tooLate = () => this.#upstream?.abort(new SidecarError('CALLER_TIMEOUT'));
    this.#stall = setTimeout(tooLate, this.exchange.idleMs);
  }

  readonly #onDrain = (): void => {
    if (this.#stall === undefined) return;
    clearTimeout(this.#stall);
    this.#stall = undefined;
    this.#upstream?.resume();
  };

  end(): void {
    this.stopWaiting();
    this.#heldEnd = this.#held !== undefined;
    if (this.#heldEnd) return;
    const { connections, writeBatch } = this.exchange.context;
    // With no other request there is nothing to wait for.
    if (connections.inFlight() === 1) this.writeEnd();
    else writeBatch(this);
  }

  writeEnd(): void {
    try {
      this.#writeBlock();
      // node:http joins head and content only when both are text; latin1 keeps all bytes.
      const { res, idleMs } = this.exchange;
      res.end(this.#whole?.toString('latin1'), 'latin1');
      // After the end there is no more `drain`; Node closes the connection when the caller reads nothing for this long.
      if (res.writableLength > 0) res.socket?.setTimeout(idleMs);
      this.settle.resolve();
    } catch (error) {
      // Only this response fails; others in the batch still have to be written.
      this.settle.reject(error);
    }
  }

  /** Ends the time limit for the caller: no more content comes. */
  stopWaiting(): void {
    if (this.#stall === undefined) return;
    clearTimeout(this.#stall);
    this.#stall = undefined;
    this.exchange.res.off('drain', this.#onDrain);
  }
}

/** Node 24.14 and later; missing in the types. */
interface Informing {
  writeInformation(status: number, headers: readonly string[]): void;
}
