/**
 * A connection to a server, between the system and the HTTP client. Hides two things that HTTP allows a server to do and
 * that undici takes for the end of the connection: to say what it thinks of an upload and close before it has all of it, and
 * to send interim responses that nobody asked for. Both are dealt with where bytes enter and leave the stream.
 */
import type { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { SidecarError } from '../core/errors.ts';

/** More interim responses than this to one request are a fault of the server. */
const MAX_INTERIM = 16;
/** No head is larger; undici refuses it. */
const MAX_HEAD_BYTES = 16 * 1024;
/** Time for the end of a connection to be seen on which nothing can be sent any more, ms. */
const LAST_WORDS_MS = 1000;

const INTERIM = 'HTTP/1.1 1';
const ONE = '1'.charCodeAt(0);
const HEAD_END = '\r\n\r\n';

const NOTHING: Buffer = Buffer.alloc(0);

type Written = Parameters<Writable['_write']>[2];

const TOLERANCE = Symbol('tolerance');

type Tolerated = Socket & { readonly [TOLERANCE]: Tolerance };

/** For the stream's own use, so that every part of it, and its user, finds them; one each for all, which V8 can see through. */
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
 * For a connection whose user writes the head of each request as a string and contents as bytes, one request at a time, as
 * undici and node:http do. RFC 9112 §9.5: a client that cannot send the rest of its request still reads the response.
 * RFC 9110 §15.2: it takes any 1xx before the final response, expected or not; 100 is left out, the others it gets to see.
 * With more than sixteen the connection fails with UPSTREAM_INVALID.
 * @param onStale told of an error before which nothing was received since the last request, which was not the first
 */
export function tolerate(socket: Socket, onStale: (error: Error) => void): void {
  const tolerance = new Tolerance(socket);
  Object.assign(socket, { [TOLERANCE]: tolerance }, HOOKS);
  socket.once('error', (error) => {
    if (tolerance.isStale) onStale(error);
  });
}

class Tolerance {
  readonly #socket: Socket;
  readonly #push: Socket['push'];
  readonly #write: Socket['_write'];
  readonly #writeMany: Socket['_writev'];
  #requests = 0;
  /** No final response to the last request has begun. */
  #isDue = false;
  #interim = 0;
  /** The beginning of an interim response, or of what may become one. */
  #held = NOTHING;
  #done: Written | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#push = socket.push;
    this.#write = socket._write;
    this.#writeMany = socket._writev;
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
    // What else is written as a string is the frame of a chunk.
    if (typeof first !== 'string' || first.startsWith('\r\n')) return;
    this.#requests += 1;
    this.#isDue = true;
    this.#interim = 0;
  }

  /** The system still has what came before the connection broke. The stream would throw it away with its first error. */
  readonly #onWritten = (error?: Error | null): void => {
    const done = this.#done;
    if (!isBroken(error) || this.#socket.readableEnded) {
      done?.(error);
      return;
    }
    // An end follows what is there to be read; the rest of the request is not asked for meanwhile.
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

  /** @returns what is behind them: nothing while that is not known */
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

/** So far as can be seen. */
function isInterim(bytes: Buffer): boolean {
  if (bytes.length === 0 || (bytes.length >= INTERIM.length && bytes[INTERIM.length - 1] !== ONE)) return false;
  const start = bytes.toString('latin1', 0, INTERIM.length);
  return INTERIM.startsWith(start.replace('/1.0', '/1.1'));
}

function isStatus(bytes: Buffer, status: string): boolean {
  return /^.{9}(\d{3})[ \r]/.exec(bytes.toString('latin1', 0, 13))?.[1] === status;
}
