/**
 * The content of a response on its way to the caller: with backpressure, with a limit to how long a caller may leave it
 * unread, and in as few writes as possible: a small response is one piece from head to end, and the ends of responses are
 * written together: they wait until everything that has arrived in this turn of the event loop is read. The first wakes
 * whoever waits for it and the rest find it awake; written one by one, each pays for a waking of its own, which costs more
 * than the writing does.
 */
import type { Dispatcher } from 'undici';
import { SidecarError } from '../core/errors.ts';
import { conclude } from './audit-trail.ts';
import type { Ending, Exchange, WriteBatch } from './exchange.ts';

/** A response up to this size that arrives in one piece leaves in one piece: copying it costs less than a second write. */
const MAX_WHOLE_BYTES = 16 * 1024;
/** A piece of up to this size costs more as a write of its own than as a copy. */
const SMALL_BYTES = 1024;
const BLOCK_BYTES = 16 * 1024;
/** So many writes wait for a caller, however short they are: each has objects of its own. */
const MAX_WAITING_WRITES = 64;
/** So many pieces are read in one turn of the event loop: then it is the turn of others. */
const MAX_PIECES = 512;

/** One for all callers of a process. */
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

/** Who waits for a response to be over. */
export type Settle = Pick<PromiseWithResolvers<void>, 'resolve' | 'reject'>;

/** From the head on; what sends the request extends it, so that one object does for both ways. */
export class ResponseWriter {
  readonly #exchange: Exchange;
  readonly #settle: Settle;
  #upstream: Dispatcher.DispatchController | undefined;
  #length: string | string[] | undefined;
  /** All of the content, to leave together with the head. */
  #whole: Buffer | undefined;
  #stall: NodeJS.Timeout | undefined;
  /** Since the caller had taken everything. */
  #writes = 0;
  /** Of this turn, after the first piece of it; filled up to `#filled`. */
  #block: Buffer | undefined;
  #filled = 0;
  #pieces = 0;
  /** What has come while nothing may leave yet; the end of it counts, too. */
  #held: Buffer[] | undefined;
  #heldEnd = false;

  /** @param settle told once all has been handed to the caller's connection, or could not be */
  constructor(exchange: Exchange, settle: Settle) {
    this.#exchange = exchange;
    this.#settle = settle;
  }

  /** RFC 9110 §15.2: forwards an interim response, except to callers that cannot know it. */
  inform(status: number, headers: readonly string[]): void {
    const { req, res } = this.#exchange;
    if (req.httpVersion === '1.0' || status < 102 || res.headersSent || res.destroyed) return;
    if ('writeInformation' in res) (res as Informing).writeInformation(status, headers);
  }

  /** The head is written, and leaves with the first content. @param length how long the response says its content is */
  begin(upstream: Dispatcher.DispatchController, length: string | string[] | undefined): void {
    this.#upstream = upstream;
    const cleared = this.#exchange.intent && conclude(this.#exchange, this.#exchange.res.statusCode);
    if (cleared !== undefined) {
      this.#held = [];
      upstream.pause();
      void cleared.then(() => this.#clear());
    }
    // While an upload goes on, an early response must not wait for its end.
    this.#length = this.#exchange.body.kind === 'stream' ? undefined : length;
  }

  #clear(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    if (!this.#exchange.res.destroyed) for (const chunk of held) this.write(chunk);
    if (this.#heldEnd) this.end();
    else if (this.#stall === undefined) this.#upstream?.resume();
  }

  write(chunk: Buffer): void {
    if (this.#held) {
      // From an API that has closed its connection, all of it comes at once.
      this.#held.push(chunk);
      return;
    }
    this.#exchange.bytesOut += chunk.length;
    if (chunk.length <= MAX_WHOLE_BYTES && this.#length === String(chunk.length)) {
      this.#whole = chunk;
      return;
    }
    this.#exchange.context.onForwarded(chunk.length);
    if (chunk.length > SMALL_BYTES) {
      this.#writeBlock();
      this.#send(chunk);
      return;
    }
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

  /** What an API sends in small pieces arrives many at a time. */
  #collect(piece: Buffer): void {
    if (this.#filled + piece.length > BLOCK_BYTES) this.#writeBlock();
    this.#block ??= Buffer.allocUnsafeSlow(BLOCK_BYTES);
    this.#filled += piece.copy(this.#block, this.#filled);
  }

  #writeBlock(): void {
    const block = this.#block?.subarray(0, this.#filled);
    this.#block = undefined;
    this.#filled = 0;
    if (block && !this.#exchange.res.destroyed) this.#send(block);
  }

  #send(chunk: Buffer): void {
    const { res } = this.#exchange;
    this.#writes = res.writableLength > 0 ? this.#writes + 1 : 1;
    const areMany = this.#writes >= MAX_WAITING_WRITES;
    const isFull = !res.write(chunk, areMany ? this.#onDrain : undefined);
    if (!areMany && isFull) res.once('drain', this.#onDrain);
    if (!(areMany || isFull) || this.#stall !== undefined) return;
    this.#upstream?.pause();
    const tooLate = () => this.#upstream?.abort(new SidecarError('CALLER_TIMEOUT'));
    this.#stall = setTimeout(tooLate, this.#exchange.idleMs);
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
    if (!this.#heldEnd) this.#exchange.context.writeBatch(this);
  }

  writeEnd(): void {
    try {
      this.#writeBlock();
      // node:http joins head and content only where both are text; latin1 is bytes as they are.
      const { res, idleMs } = this.#exchange;
      res.end(this.#whole?.toString('latin1'), 'latin1');
      // Of what is left `drain` tells no more: Node ends the connection when none of it is taken for so long.
      if (res.writableLength > 0) res.socket?.setTimeout(idleMs);
      this.#settle.resolve();
    } catch (error) {
      // Of this one alone: others are waiting to be written.
      this.#settle.reject(error);
    }
  }

  /** Nothing more will come. */
  stopWaiting(): void {
    if (this.#stall === undefined) return;
    clearTimeout(this.#stall);
    this.#stall = undefined;
    this.#exchange.res.off('drain', this.#onDrain);
  }
}

/** Node 24.14 and later; the types do not know it yet. */
interface Informing {
  writeInformation(status: number, headers: readonly string[]): void;
}
