/**
 * Memory for large reads from APIs, used again as soon as its bytes are written. By itself Node allocates 64 KiB outside
 * the heap for each read, and a large transfer keeps the allocator and the garbage collector busy.
 */

/** Unused buffers that are kept. */
const MAX_FREE = 8;

const LOAN = Symbol('loan');

/** A buffer; `filled` bytes of it are lent to the reader, 0 when it is not lent. */
interface Loan {
  readonly buffer: Buffer;
  readonly free: Loan[];
  filled: number;
}

type Lent = ArrayBufferLike & { [LOAN]?: Loan };

/** Buffers that connections share. */
export interface ReadBuffers {
  /** Returns a buffer for the next read. */
  next(): Buffer;
  /** Lends the first `length` bytes of such a buffer, until they are recycled. */
  lend(buffer: Buffer, length: number): Buffer;
}

/** @param size of each buffer, bytes */
export function createReadBuffers(size: number): ReadBuffers {
  const free: Loan[] = [];
  return {
    next: () => (free.pop() ?? createLoan(size, free)).buffer,
    lend(buffer, length) {
      const loan = (buffer.buffer as Lent)[LOAN];
      if (loan) loan.filled = length;
      return buffer.subarray(0, length);
    },
  };
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

function createLoan(size: number, free: Loan[]): Loan {
  const loan = { buffer: Buffer.allocUnsafeSlow(size), free, filled: 0 };
  (loan.buffer.buffer as Lent)[LOAN] = loan;
  return loan;
}
