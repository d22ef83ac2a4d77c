/**
 * Filters the bytes between a socket and the HTTP client. HTTP allows two things that undici treats as a broken
 * connection: a server may respond to an upload and close before it has all of it, and it may send interim responses
 * that nobody asked for. Hides both from undici. Also selects the memory that sockets read into.
 */
import type { OnReadOpts, Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { SidecarError } from '../core/errors.ts';
import { createReadBuffers, recycle } from './read-buffers.ts';

/** With more interim responses to one request, the server is faulty. */
const MAX_INTERIM = 16;
/** undici refuses a larger head. */
const MAX_HEAD_BYTES = 16 * 1024;
/** Time to read the final response after sending became impossible, ms. */
const LAST_WORDS_MS = 1000;

const READ_BYTES = 64 * 1024;
/** Less is copied: that costs less than a buffer of which most is empty. */
const LARGE_BYTES = READ_BYTES / 2;

const INTERIM = 'HTTP/1.1 1';
const ONE = '1'.charCodeAt(0);
const HEAD_END = '\r\n\r\n';

const NOTHING: Buffer = Buffer.alloc(0);

type Written = Parameters<Writable['_write']>[2];

const TOLERANCE = Symbol('tolerance');

type Tolerated = Socket & { readonly [TOLERANCE]: Tolerance };

/** Replace methods of the stream, also for its internal calls. Shared by all sockets, so that V8 can optimize them. */
const HOOKS = {
  push(this: Tolerated, chunk: Buffer | null): boolean {
    return this[TOLERANCE].receive(chunk);
  },
  _write(this: Tolerated, chunk: unknown, encoding: BufferEncoding, done: Written): void {
    this[TOLERANCE].write(chunk, encoding, done);
  },
  _writev(this: Tolerated, chunks: Chunks, done: Written): void {
    this[TOLERANCE].writeMany(chunks, done);
  },
};

type Chunks = { chunk: unknown; encoding: BufferEncoding }[];

/**
 * Installs the filter. The client must write the head of each request as a string and the body as bytes, one request at
 * a time, as undici and node:http do.
 * - RFC 9112 §9.5: a client that cannot send the rest of its request still reads the response.
 * - RFC 9110 §15.2: any 1xx may precede the final response. 100 is dropped, the others are passed on. After more than
 *   sixteen, the connection fails with UPSTREAM_INVALID.
 * @param onStale gets an error before which nothing was received since the last request, if that was not the first
 */
export function tolerate(socket: Socket, onStale: (error: Error) => void): void {
  const tolerance = new Tolerance(socket);
  Object.assign(socket, { [TOLERANCE]: tolerance }, HOOKS);
  socket.once('error', (error) => {
    if (tolerance.isStale) onStale(error);
  });
}

/**
 * Treats the next request as if it was not the first: this connection was idle before, so the server may close it just as
 * the request is sent. Does nothing without `tolerate`.
 */
export function countAsUsed(socket: Socket): void {
  (socket as Partial<Tolerated>)[TOLERANCE]?.countAsUsed();
}

/** Options of `net.connect`. */
export interface ReadOptions {
  readonly onread: OnReadOpts;
  readonly highWaterMark: number;
}

/**
 * Returns the options for connections that share their memory for reads. All share one buffer for small reads, which are
 * copied out of it; only a connection in a large transfer has a buffer of its own.
 */
export function createReadOptions(): ReadOptions {
  const shared = Buffer.allocUnsafeSlow(READ_BYTES);
  const large = createReadBuffers(READ_BYTES);
  let next: Buffer | undefined;
  const onread: OnReadOpts = {
    // Node asks before the first read, and directly after each call of `callback`.
    buffer() {
      const buffer = next ?? shared;
      next = undefined;
      return buffer;
    },
    callback(this: Socket, length: number, buffer: Uint8Array) {
      const isLarge = length >= LARGE_BYTES;
      const lent = buffer === shared ? undefined : large.lend(buffer as Buffer, length);
      const bytes = isLarge && lent ? lent : Buffer.from(buffer.subarray(0, length));
      if (lent && !isLarge) recycle(lent);
      const hasRoom = this.push(bytes);
      if (isLarge) next = large.next();
      return hasRoom;
    },
  };
  // One byte more than a read: otherwise each full one would stop the connection until it is taken.
  return { onread, highWaterMark: READ_BYTES + 1 };
}

class Tolerance {
  readonly #socket: Socket;
  readonly #push: Socket['push'];
  readonly #write: Socket['_write'];
  readonly #writeMany: Socket['_writev'];
  #requests = 0;
  /** The final response to the last request has not begun. */
  #isDue = false;
  #interim = 0;
  /** Bytes that are, or may become, an incomplete interim response. */
  #held = NOTHING;
  #done: Written | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#push = socket.push;
    this.#write = socket._write;
    this.#writeMany = socket._writev;
  }

  countAsUsed(): void {
    this.#requests += 1;
  }

  get isStale(): boolean {
    return this.#requests > 1 && this.#isDue && this.#interim === 0 && this.#held.length === 0;
  }

  receive(chunk: Buffer | null): boolean {
    return this.#isDue ? this.#judge(chunk) : this.#pass(chunk);
  }

  write(chunk: unknown, encoding: BufferEncoding, done: Written): void {
    this.#send(chunk, done);
    this.#write.call(this.#socket, chunk, encoding, this.#onWritten);
  }

  writeMany(chunks: Chunks, done: Written): void {
    this.#send(chunks[0]?.chunk, done);
    this.#writeMany?.call(this.#socket, chunks, this.#onWritten);
  }

  #pass(chunk: Buffer | null): boolean {
    return this.#push.call(this.#socket, chunk);
  }

  #send(first: unknown, done: Written): void {
    this.#done = done;
    // Other strings are chunk frames.
    if (typeof first !== 'string' || first.startsWith('\r\n')) return;
    this.#requests += 1;
    this.#isDue = true;
    this.#interim = 0;
  }

  /** The system still has bytes from before the connection broke. An error would make the stream discard them. */
  readonly #onWritten = (error?: Error | null): void => {
    const done = this.#done;
    if (!isBroken(error) || this.#socket.readableEnded) {
      done?.(error);
      return;
    }
    // Not calling `done` keeps the client from writing more while the rest is read up to the end.
    const timer = setTimeout(() => {
      if (this.#isDue) done?.(error);
    }, LAST_WORDS_MS);
    this.#socket.once('close', () => clearTimeout(timer));
  };

  #judge(chunk: Buffer | null): boolean {
    const held = this.#held;
    if (chunk === null) {
      if (held.length > 0) this.#pass(held);
      return this.#pass(null);
    }
    this.#held = NOTHING;
    const rest = this.#passInterim(held.length === 0 ? chunk : Buffer.concat([held, chunk]));
    if (rest.length === 0) return true;
    this.#isDue = false;
    return this.#pass(rest);
  }

  /** @returns the bytes after interim responses; empty while that is undecided */
  #passInterim(bytes: Buffer): Buffer {
    let rest = bytes;
    while (isInterim(rest)) {
      const end = rest.indexOf(HEAD_END) + HEAD_END.length;
      const isWhole = end >= HEAD_END.length;
      if ((isWhole ? end : rest.length) > MAX_HEAD_BYTES || (isWhole && isStatus(rest, '101'))) return rest;
      if (!isWhole) {
        this.#held = rest;
        return NOTHING;
      }
      this.#interim += 1;
      if (this.#interim > MAX_INTERIM) {
        this.#socket.destroy(new SidecarError('UPSTREAM_INVALID', { mayHaveExecuted: true }));
        return NOTHING;
      }
      if (!isStatus(rest, '100')) this.#pass(rest.subarray(0, end));
      rest = rest.subarray(end);
    }
    return rest;
  }
}

function isBroken(error: NodeJS.ErrnoException | null | undefined): boolean {
  return error ? /^E(?:PIPE|CONNRESET|CONNABORTED)$/.test(error.code ?? '') : false;
}

/** True if the bytes begin, or may begin, with an interim response. */
function isInterim(bytes: Buffer): boolean {
  if (bytes.length === 0 || (bytes.length >= INTERIM.length && bytes[INTERIM.length - 1] !== ONE)) return false;
  const start = bytes.toString('latin1', 0, INTERIM.length);
  return INTERIM.startsWith(start.replace('/1.0', '/1.1'));
}

function isStatus(bytes: Buffer, status: string): boolean {
  return /^.{9}(\d{3})[ \r]/.exec(bytes.toString('latin1', 0, 13))?.[1] === status;
}
