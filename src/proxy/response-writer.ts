/**
 * The content of a response on its way to the caller: with backpressure, with a limit to how long a caller may leave it
 * unread, and in as few writes as possible: a small response is one piece from head to end.
 */
import type { Dispatcher } from 'undici';
import { SidecarError } from '../core/errors.ts';
import type { Exchange } from './exchange.ts';

/** A response up to this size that arrives in one piece leaves in one piece: copying it costs less than a second write. */
const MAX_WHOLE_BYTES = 16 * 1024;

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

  /** The head is written. @param length how long the response says its content is */
  begin(upstream: Dispatcher.DispatchController, length: string | string[] | undefined): void {
    this.#upstream = upstream;
    // While an upload goes on, an early response must not wait for its end.
    this.#length = this.#exchange.body.kind === 'stream' ? undefined : length;
  }

  write(chunk: Buffer): void {
    const { res, context } = this.#exchange;
    this.#exchange.bytesOut += chunk.length;
    if (chunk.length <= MAX_WHOLE_BYTES && this.#length === String(chunk.length)) {
      this.#whole = chunk;
      return;
    }
    context.onForwarded(chunk.length);
    if (res.write(chunk)) return;
    this.#upstream?.pause();
    const tooLate = () => this.#upstream?.abort(new SidecarError('CALLER_TIMEOUT'));
    this.#stall = setTimeout(tooLate, this.#exchange.idleMs);
    res.once('drain', this.#onDrain);
  }

  readonly #onDrain = (): void => {
    clearTimeout(this.#stall);
    this.#stall = undefined;
    this.#upstream?.resume();
  };

  end(): void {
    this.stopWaiting();
    this.#exchange.context.writeBatch(this);
  }

  writeEnd(): void {
    try {
      // node:http joins head and content only where both are text; latin1 is bytes as they are.
      this.#exchange.res.end(this.#whole?.toString('latin1'), 'latin1');
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
    this.#exchange.res.off('drain', this.#onDrain);
  }
}

/** Node 24.14 and later; the types do not know it yet. */
interface Informing {
  writeInformation(status: number, headers: readonly string[]): void;
}
