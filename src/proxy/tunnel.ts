/**
 * Two connections as one, after an upgrade: for as long as both sides like, and one end for both. What one side has sent
 * before it ended still reaches the other. http-proxy-3 carries the bytes; it sees of the caller's connection what is here.
 */
import { Socket } from 'node:net';
import { Duplex } from 'node:stream';

/** Firewalls forget idle connections silently; probes keep them open, and find out when the other machine is gone. */
const KEEP_ALIVE_PROBE_MS = 30_000;
/** When one side has ended and the other says nothing for this long, nothing more is to come. */
const QUIET_MS = 500;

/**
 * The caller's connection as http-proxy-3 gets it. Until the two sides are joined nothing is read of it and what is written
 * to it goes nowhere; from then on bytes pass both ways with backpressure.
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
    // By its own rules it would stay, and be counted, when bytes are left that nobody can take any more.
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

  /** In place of the caller's real one, which is set up below. */
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
 * Gives two connections, whose bytes are carried by others, one end.
 * @param stallMs how long bytes may wait for a side that does not read them, once the other side has ended
 */
export function joinConnections(caller: Socket, upstream: Duplex, stallMs: number): void {
  for (const socket of [caller, upstream]) {
    if (socket instanceof Socket) socket.setTimeout(0).setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_PROBE_MS);
  }
  const wait = linger([caller, upstream], stallMs);
  follow(caller, upstream, wait);
  follow(upstream, caller, wait);
}

/** An orderly end of `from` gives `to` the time to take what is under way; anything else ends it at once. */
function follow(from: Duplex, to: Duplex, wait: () => void): void {
  from.on('error', () => from.destroy());
  from.once('end', wait);
  from.once('close', () => {
    if (!from.readableEnded || from.errored) to.destroy();
  });
}
/** Returns what starts the wait for both sides to be done; then both are closed. */
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

/** Whether one side is closed, so that nobody wants what the other says, and the other has all that was said to it. */
function isOver([one, other]: readonly [Duplex, Duplex]): boolean {
  const unsaid = one.destroyed ? other.writableLength : one.writableLength;
  return (one.destroyed && other.destroyed) || ((one.destroyed || other.destroyed) && unsaid === 0);
}
