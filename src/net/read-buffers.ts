/**
 * Memory that connections to APIs read into. By itself Node allocates 64 KiB outside the heap for each read, and a large
 * transfer spends a third of its time in the allocator and the garbage collector. Here small reads share one buffer and are
 * copied out of it; large ones get a buffer of their own, which is used again when its bytes are written.
 */
import type { OnReadOpts, Socket } from 'node:net';

const READ_BYTES = 64 * 1024;
/** Less is copied: that costs less than a buffer of which most is empty. */
const LARGE_BYTES = READ_BYTES / 2;
/** Unused buffers that are kept. */
const MAX_FREE = 8;

const LOAN = Symbol('loan');

/** A buffer for large reads; `filled` bytes of it are lent to the reader, 0 when it is not lent. */
interface Loan {
  readonly buffer: Buffer;
  readonly free: Loan[];
  filled: number;
}

type Lent = ArrayBufferLike & { [LOAN]?: Loan };

/** Options of `net.connect`. */
export interface ReadOptions {
  readonly onread: OnReadOpts;
  readonly highWaterMark: number;
}

/** Returns the options for connections that share their free buffers. */
export function createReadOptions(): ReadOptions {
  // One byte more than a read: otherwise each full one would stop the connection until it is taken.
  return { onread: createReader(), highWaterMark: READ_BYTES + 1 };
}

function createReader(): OnReadOpts {
  const shared = Buffer.allocUnsafeSlow(READ_BYTES);
  const free: Loan[] = [];
  let next: Buffer = shared;
  return {
    // Node asks once before the first read, and directly after each call of `callback`.
    buffer() {
      const buffer = next;
      next = shared;
      return buffer;
    },
    callback(this: Socket, length: number, buffer: Uint8Array) {
      const hasRoom = this.push(take(buffer as Buffer, length));
      // More will come. Idle connections have no buffer of their own.
      if (length >= LARGE_BYTES) next = (free.pop() ?? createLoan(free)).buffer;
      return hasRoom;
    },
  };
}

/** Returns what was read, in a form that later reads do not change. */
function take(buffer: Buffer, length: number): Buffer {
  const loan = (buffer.buffer as Lent)[LOAN];
  const bytes = buffer.subarray(0, length);
  if (loan === undefined) return Buffer.from(bytes);
  loan.filled = length;
  if (length >= LARGE_BYTES) return bytes;
  const copy = Buffer.from(bytes);
  recycle(bytes);
  return copy;
}

/**
 * Lets later reads use the memory of these bytes again. Call it when they are written. Does nothing for bytes that are not
 * the last of their read: the HTTP client may still need those behind them.
 * @returns whether the memory is used again
 */
export function recycle(bytes: Buffer): boolean {
  const loan = (bytes.buffer as Lent)[LOAN];
  if (loan === undefined || bytes.byteOffset + bytes.length !== loan.filled) return false;
  loan.filled = 0;
  if (loan.free.length < MAX_FREE) loan.free.push(loan);
  return true;
}

function createLoan(free: Loan[]): Loan {
  const loan = { buffer: Buffer.allocUnsafeSlow(READ_BYTES), free, filled: 0 };
  (loan.buffer.buffer as Lent)[LOAN] = loan;
  return loan;
}
