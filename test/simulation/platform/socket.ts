/** A socket of Node on the simulated network: the public surface of `net.Socket` that servers and clients use. */
import { Duplex } from 'node:stream';
import { type Connected, type End, failure, type Segment, type Stamp } from './network.ts';
import { platform, self } from './platform.ts';
import type { SimulatedProcess } from './process.ts';
import { clearTimer, startTimer } from './timers.ts';

export interface SocketOptions {
  readonly allowHalfOpen?: boolean;
  readonly highWaterMark?: number;
  readonly onread?: OnRead;
  readonly signal?: AbortSignal;
}

interface OnRead {
  readonly buffer: Uint8Array | (() => Uint8Array);
  readonly callback: (this: Socket, length: number, buffer: Uint8Array) => boolean;
}

interface Piece {
  readonly chunk: Buffer | string;
  readonly encoding: BufferEncoding;
}

type Done = (error?: Error | null) => void;

export class Socket extends Duplex implements End {
  readonly owner: SimulatedProcess;
  connecting = false;
  bytesRead = 0;
  bytesWritten = 0;
  remoteAddress = '127.0.0.1';
  remotePort = 0;
  localAddress = '127.0.0.1';
  localPort = 0;
  readonly remoteFamily = 'IPv4';
  timeout = 0;
  server: unknown;
  readonly #onread: OnRead | undefined;
  readonly #inbox: Segment[] = [];
  readonly #disown: () => void;
  #wire: Connected | undefined;
  #isReading = false;
  #hasSentEnd = false;
  #timer: ReturnType<typeof startTimer> | undefined;

  constructor({ allowHalfOpen = false, highWaterMark, onread }: SocketOptions = {}) {
    // Strings stay strings, as in Node: by them, what filters the bytes of a client knows the head of a request.
    super({ allowHalfOpen, decodeStrings: false, ...(highWaterMark && { highWaterMark }) });
    this.#onread = onread;
    this.owner = self();
    // The system of a killed process closes its connections.
    this.#disown = this.owner.onKill(() => {
      this.#wire?.send('reset');
      this.#wire?.close();
      // What the rest of its turn writes goes nowhere.
      this.#wire = undefined;
    });
  }

  connectTo(address: string, host: string, port: number): this {
    Object.assign(this, {
      connecting: true,
      remoteAddress: host,
      remotePort: port,
      localPort: platform().network.freePort(),
    });
    platform().network.connect(address, this, (result) => {
      if (this.destroyed) return result instanceof Error ? undefined : abandon(result);
      if (result instanceof Error) return void this.destroy(result);
      this.attach(result);
      this.emit('connect');
      this.emit('ready');
      this.read(0);
    });
    return this;
  }

  /** For observers: its connection. */
  get wire(): Connected | undefined {
    return this.#wire;
  }

  /** Gives it its connection. */
  attach(wire: Connected): void {
    this.connecting = false;
    this.#wire = wire;
  }

  receive(segment: Segment, _sent: Stamp): void {
    if (segment === 'reset') {
      this.#hasSentEnd = true;
      this.destroy(failure('ECONNRESET', 'read', `${this.remoteAddress}:${this.remotePort}`));
      return;
    }
    this.#inbox.push(segment);
    this.#flush();
  }

  #flush(): void {
    while (this.#isReading && !this.destroyed) {
      const next = this.#inbox.shift();
      if (next === undefined) return;
      if (next instanceof Buffer) this.#take(next);
      else this.push(null);
    }
  }

  #take(bytes: Buffer): void {
    this.bytesRead += bytes.length;
    this.#touch();
    if (this.#onread) this.#takeInto(this.#onread, bytes);
    else this.#isReading = this.push(bytes);
  }

  #takeInto({ buffer, callback }: OnRead, bytes: Buffer): void {
    for (let taken = 0; taken < bytes.length; ) {
      const room = typeof buffer === 'function' ? buffer() : buffer;
      const piece = bytes.subarray(taken, taken + room.length);
      room.set(piece);
      taken += piece.length;
      this.#isReading = callback.call(this, piece.length, room) !== false;
    }
  }

  override _read(): void {
    this.#isReading = true;
    // Not within `read`: what is pushed then would come out of order.
    if (this.#inbox.length > 0) process.nextTick(() => this.#flush());
  }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, done: Done): void {
    this.#send(bytesOf({ chunk, encoding }), done);
  }

  override _writev(chunks: readonly Piece[], done: Done): void {
    this.#send(Buffer.concat(chunks.map(bytesOf)), done);
  }

  #send(bytes: Buffer, done: Done): void {
    if (this.connecting) {
      this.once('connect', () => this.#send(bytes, done));
      return;
    }
    this.bytesWritten += bytes.length;
    this.#touch();
    this.#wire?.send(bytes);
    process.nextTick(done);
  }

  override _final(done: Done): void {
    if (this.connecting) {
      this.once('connect', () => this._final(done));
      return;
    }
    if (!this.#hasSentEnd) this.#wire?.send('end');
    this.#hasSentEnd = true;
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    clearTimer(this.#timer);
    this.#disown();
    this.connecting = false;
    const isUnread = this.#inbox.some((segment) => segment instanceof Buffer);
    if (isUnread) this.#wire?.send('reset');
    else if (!this.#hasSentEnd) this.#wire?.send('end');
    this.#hasSentEnd = true;
    this.#wire?.close();
    done(error);
  }

  setTimeout(ms: number, onTimeout?: () => void): this {
    clearTimer(this.#timer);
    this.timeout = ms;
    this.#timer = ms > 0 ? startTimer(() => void this.emit('timeout'), ms, false) : undefined;
    if (onTimeout && ms > 0) this.once('timeout', onTimeout);
    else if (onTimeout) this.removeListener('timeout', onTimeout);
    return this;
  }

  #touch(): void {
    this.#timer?.refresh();
  }

  resetAndDestroy(): this {
    this.#wire?.send('reset');
    this.#hasSentEnd = true;
    return this.destroy();
  }

  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  get pending(): boolean {
    return this.#wire === undefined;
  }

  get readyState(): string {
    return this.connecting ? 'opening' : this.destroyed ? 'closed' : 'open';
  }

  address(): object {
    return { address: this.localAddress, port: this.localPort, family: 'IPv4' };
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  setTypeOfService(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}

/** A copy: its owner may use the memory again. */
function bytesOf({ chunk, encoding }: Piece): Buffer {
  return typeof chunk === 'string' ? Buffer.from(chunk, encoding) : Buffer.from(chunk);
}

/** The caller gave up while it was being connected. */
function abandon(wire: Connected): undefined {
  wire.send('reset');
  wire.close();
}
