/**
 * One connection to a server that is open, with TLS done, before anybody needs it. Hides when it is opened, renewed and
 * given up: a call after a pause then takes as long as a call in a row.
 */
import type { Socket } from 'node:net';
import type { buildConnector } from 'undici';

/** A server that does not respond, or ends idle connections at once, is tried again after these, ms. */
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;
/** A server that ended an idle connection will do so again: the next one is renewed after this share of the time. */
const EARLIER = 0.8;
/** It may have ended it for another reason, so the time grows again with each renewal that went well. */
const LATER = 1.1;

export interface ReadyConnection {
  /** The connector. Returns the open connection at once if it still works; the caller then owns it. */
  readonly connect: buildConnector.connector;
  /** Opens one, unless there is one or one is being opened. Never throws; failures are quiet, see `isNeeded`. */
  prepare(): void;
  /** Closes it for good. */
  end(): void;
}

export interface ReadyOptions {
  readonly connector: buildConnector.connector;
  readonly target: buildConnector.Options;
  /** An unused connection is replaced by a new one after this, ms; never after less than a second. */
  readonly keepMs: number;
  /** Called with a connection that was open before `connect` was called. */
  readonly onTaken?: (socket: Socket) => void;
  /** Asked when it is due for that, lost or could not be opened. False = there is none until the next `prepare`. */
  readonly isNeeded: () => boolean;
}

/** Opens nothing before `prepare`. Neither its timers nor its connection keep the process alive. */
export function createReadyConnection(options: ReadyOptions): ReadyConnection {
  const ready = new Ready(options);
  return {
    connect: (target, done) => {
      const socket = ready.take();
      if (socket) queueMicrotask(() => done(null, socket));
      else options.connector(target, done);
    },
    prepare: () => ready.prepare(),
    end: () => ready.end(),
  };
}

class Ready {
  readonly #options: ReadyOptions;
  #held: { readonly socket: Socket; readonly release: () => void } | undefined;
  #isOpening = false;
  #hasEnded = false;
  #keepMs: number;
  #pauseMs = FIRST_PAUSE_MS;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ReadyOptions) {
    this.#options = options;
    this.#keepMs = Math.max(FIRST_PAUSE_MS, options.keepMs);
  }

  take(): Socket | undefined {
    const socket = this.#letGo();
    if (!socket || socket.destroyed) return undefined;
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#options.onTaken?.(socket);
    return socket.ref();
  }

  prepare(): void {
    if (!this.#held) this.#open();
  }

  end(): void {
    this.#hasEnded = true;
    clearTimeout(this.#timer);
    this.#letGo()?.destroy();
  }

  #open(): void {
    if (this.#hasEnded || this.#isOpening) return;
    clearTimeout(this.#timer);
    this.#isOpening = true;
    this.#options.connector(this.#options.target, (error, socket) => {
      this.#isOpening = false;
      if (error) this.#giveUp();
      else if (this.#hasEnded) socket?.destroy();
      else if (socket) this.#hold(socket);
    });
  }

  /** One that is overdue is closed, too: if its server cannot be reached, a request on it may never get a response. */
  #giveUp(): void {
    this.#letGo()?.destroy();
    this.#openLater();
  }

  #openLater(): void {
    if (this.#hasEnded || this.#isOpening || !this.#options.isNeeded()) return;
    this.#timer = setTimeout(() => this.#open(), this.#pauseMs).unref();
    this.#pauseMs = Math.min(2 * this.#pauseMs, LONGEST_PAUSE_MS);
  }

  #hold(socket: Socket): void {
    this.#letGo()?.destroy();
    // Whatever comes before a request, an end included, makes it unfit for one.
    const onLost = () => {
      this.#keepMs = Math.max(FIRST_PAUSE_MS, EARLIER * (performance.now() - since));
      this.#giveUp();
    };
    const events = ['readable', 'end', 'error', 'close'];
    for (const event of events) socket.on(event, onLost);
    const since = performance.now();
    const release = () => {
      for (const event of events) socket.removeListener(event, onLost);
      // It has an owner again soon; until then an error is no reason to end the process.
      socket.on('error', () => undefined);
    };
    this.#held = { socket: socket.unref(), release };
    this.#timer = setTimeout(() => this.#renew(), this.#keepMs).unref();
  }

  #renew(): void {
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#keepMs = Math.max(FIRST_PAUSE_MS, Math.min(LATER * this.#keepMs, this.#options.keepMs));
    if (this.#options.isNeeded()) this.#open();
    else this.#letGo()?.destroy();
  }

  #letGo(): Socket | undefined {
    const held = this.#held;
    this.#held = undefined;
    if (!held) return undefined;
    clearTimeout(this.#timer);
    held.release();
    return held.socket;
  }
}
