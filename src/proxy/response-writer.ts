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
  /** What has come while nothing may leave yet; the end of it counts, too. */
  #held: Buffer[] | undefined;
  #heldEnd = false;

  /** @param settle told once all has been handed to the caller's connection, or could not be */
  constructor(exchange: Exchange, settle: Settle) {
    this.#exchange = exchange;
    this.#settle = settle;
  }

  /**
   * The head is written, and leaves with the first content.
   * @param length how long the response says its content is @param cleared nothing leaves before it has resolved
   */
  begin(
    upstream: Dispatcher.DispatchController,
    length: string | string[] | undefined,
    cleared?: Promise<unknown>,
  ): void {
    this.#upstream = upstream;
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
    this.#heldEnd = this.#held !== undefined;
    if (!this.#heldEnd) this.#exchange.context.writeBatch(this);
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
