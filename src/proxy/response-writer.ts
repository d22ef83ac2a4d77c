/**
 * The content of an answer on its way to the caller: with backpressure, with an end to a caller's patience for reading
 * it, and in as few writes as possible. A small answer is one piece from head to end, and the ends of answers leave
 * together: they wait until everything that has arrived in this turn of the event loop is read, and are then written one
 * right after the other. The first wakes whoever waits for it and the rest find it awake; written one by one, each pays
 * for a waking of its own, which costs more than the writing does.
 */
import type { Dispatcher } from 'undici';
import { SidecarError } from '../core/errors.ts';
import type { Exchange } from './exchange.ts';

/** An answer up to this size that arrives in one piece leaves in one piece: copying it costs less than a second write. */
const MAX_WHOLE_BYTES = 16 * 1024;

/** Takes what is to end in this turn. */
export type Depart = (response: Pick<ResponseWriter, 'depart'>) => void;

/** One for all callers of a process. */
export function createDepartures(): Depart {
  let waiting: Pick<ResponseWriter, 'depart'>[] = [];
  const departAll = () => {
    const together = waiting;
    waiting = [];
    for (const response of together) response.depart();
  };
  return (response) => {
    waiting.push(response);
    if (waiting.length === 1) setImmediate(departAll);
  };
}

/** Who waits for an answer to be over. */
export type Settle = Pick<PromiseWithResolvers<void>, 'resolve' | 'reject'>;

/** From the head on; a class, because there is one for every request. */
export class ResponseWriter {
  readonly #exchange: Exchange;
  readonly #upstream: Dispatcher.DispatchController;
  readonly #length: string | string[] | undefined;
  readonly #settle: Settle;
  /** All of the content, to leave together with the head. */
  #whole: Buffer | undefined;
  #stall: NodeJS.Timeout | undefined;

  /**
   * @param length how long the answer says its content is
   * @param settle told once all of it has been handed to the caller's connection, or could not be
   */
  constructor(
    exchange: Exchange,
    upstream: Dispatcher.DispatchController,
    length: string | string[] | undefined,
    settle: Settle,
  ) {
    this.#exchange = exchange;
    this.#upstream = upstream;
    // While an upload goes on, an early answer must not wait for its end.
    this.#length = exchange.body.kind === 'stream' ? undefined : length;
    this.#settle = settle;
  }

  write(chunk: Buffer): void {
    const { res } = this.#exchange;
    this.#exchange.bytesOut += chunk.length;
    const isWhole = chunk.length <= MAX_WHOLE_BYTES && this.#length === String(chunk.length);
    if (isWhole) {
      this.#whole = chunk;
      return;
    }
    this.#exchange.passed(chunk.length);
    if (res.write(chunk)) return;
    this.#upstream.pause();
    const tooLate = () => this.#upstream.abort(new SidecarError('CALLER_TIMEOUT'));
    this.#stall = setTimeout(tooLate, this.#exchange.stallMs);
    res.once('drain', this.#onDrain);
  }

  readonly #onDrain = (): void => {
    clearTimeout(this.#stall);
    this.#stall = undefined;
    this.#upstream.resume();
  };

  end(): void {
    this.cease();
    this.#exchange.depart(this);
  }

  depart(): void {
    try {
      // node:http joins head and content only where both are text; latin1 is bytes as they are.
      this.#exchange.res.end(this.#whole?.toString('latin1'), 'latin1');
      this.#settle.resolve();
    } catch (error) {
      // Of this one alone: others are waiting to leave.
      this.#settle.reject(error);
    }
  }

  /** Nothing more will come. */
  cease(): void {
    if (this.#stall === undefined) return;
    clearTimeout(this.#stall);
    this.#exchange.res.off('drain', this.#onDrain);
  }
}
