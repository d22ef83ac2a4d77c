/**
 * Joins two connections after an upgrade: no time limit while both are open, and the end of one ends the other. Bytes that
 * one side sent before its end still reach the other. http-proxy-3 carries the bytes and gets a `CallerDuplex` instead of the
 * caller's socket.
 */
import { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/** Firewalls drop idle connections silently; TCP keep-alive probes keep them open and detect a lost peer. */
const KEEP_ALIVE_PROBE_MS = 30_000;
/** After one side has ended, the tunnel closes when nothing moves for this long. */
const QUIET_MS = 500;

/**
 * The caller's connection as http-proxy-3 sees it. Before `join` it reads nothing and discards writes; after it, bytes pass
 * both ways with backpressure.
 */
export class CallerDuplex extends Duplex {
  readonly #caller: Socket;
  #joined = false;

  constructor(caller: Socket) {
    super();
    this.#caller = caller;
  }

  join(upstream: Socket): void {
    const caller = this.#caller;
    this.#joined = true;
    caller.on('data', (chunk) => {
      if (!this.push(chunk)) caller.pause();
    });
    caller.once('end', () => this.push(null));
    // A Duplex with unread bytes does not close by itself when both connections are gone.
    const leave = () => {
      if (caller.destroyed && upstream.destroyed) this.destroy();
    };
    caller.once('close', leave);
    upstream.once('close', leave);
  }

  override _read(): void {
    if (this.#joined) this.#caller.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (!this.#joined || this.#caller.write(chunk)) done();
    else this.#caller.once('drain', done);
  }

  override _final(done: () => void): void {
    if (this.#joined) this.#caller.end();
    done();
  }

  /** No-op, as those below: `joinConnections` sets these on the real socket. */
  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  destroySoon(): void {
    this.destroy();
  }
}

/**
 * Makes two connections end together; does not carry their bytes.
 * @param stallMs how long bytes may wait for a side that does not read, after the other side has ended
 */
export function joinConnections(caller: Socket, upstream: Duplex, stallMs: number): void {
  for (const socket of [caller, upstream]) {
    if (socket instanceof Socket) socket.setTimeout(0).setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_PROBE_MS);
  }
  const wait = linger([caller, upstream], stallMs);
  follow(caller, upstream, wait);
  follow(upstream, caller, wait);
}

/** After an orderly end of `from`, `to` has time to read what is on its way; any other end destroys `to` at once. */
function follow(from: Duplex, to: Duplex, wait: () => void): void {
  from.on('error', () => from.destroy());
  from.once('end', wait);
  from.once('close', () => {
    if (!from.readableEnded || from.errored) to.destroy();
  });
}

/** Returns a function that starts waiting until both sides are done, and then closes both. */
function linger(sides: readonly [Duplex, Duplex], stallMs: number): () => void {
  let timer: NodeJS.Timeout | undefined;
  let seen = '';
  let stillMs = 0;
  const look = () => {
    const now = sides.map(progressOf).join();
    stillMs = now === seen ? stillMs + QUIET_MS : 0;
    seen = now;
    const pending = sides.some(({ destroyed, writableLength }) => !destroyed && writableLength > 0);
    if (stillMs < (pending ? stallMs : QUIET_MS) && !isOver(sides)) return;
    clearInterval(timer);
    for (const side of sides) side.destroy();
  };
  return () => {
    timer ??= setInterval(look, QUIET_MS);
  };
}

function progressOf(side: Duplex): string {
  return `${side.writableLength} ${side instanceof Socket ? side.bytesRead : 0}`;
}

/** Whether one side is closed and the other has read everything that was sent to it. */
function isOver([one, other]: readonly [Duplex, Duplex]): boolean {
  const unsaid = one.destroyed ? other.writableLength : one.writableLength;
  return (one.destroyed && other.destroyed) || ((one.destroyed || other.destroyed) && unsaid === 0);
}
