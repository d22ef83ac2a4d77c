/**
 * The last log lines, in memory, for the support file. Takes whole batches of bytes as they are written, so that it costs a
 * request nothing: lines kept as strings would outlive their request and cost garbage collection.
 */

export interface LogTail {
  /** Copies the bytes: whole lines. */
  add(bytes: Uint8Array): void;
  /** The last lines, oldest first, without their line breaks. */
  lines(): string[];
}

/** Bytes of each of two buffers: between one and two of them are kept. No page of theirs is used before it is needed. */
const HALF_BYTES = 128 * 1024;
const MAX_LINES = 500;

/** Creates an empty tail. @param complete called before the lines are read: adds those that still wait to be written */
export function createLogTail(complete?: () => void): LogTail {
  let [newer, older] = [Buffer.alloc(0), Buffer.alloc(0)];
  let [length, olderLength] = [0, 0];
  const add = (bytes: Uint8Array) => {
    if (length + bytes.length > newer.length) {
      const free = older.length > 0 ? older : Buffer.allocUnsafeSlow(HALF_BYTES);
      [newer, older, olderLength, length] = [free, newer, length, 0];
    }
    // Of more than a buffer, only the end is kept; its first line is then a part of one.
    const kept = bytes.subarray(Math.max(0, bytes.length - HALF_BYTES));
    newer.set(kept, length);
    length += kept.length;
  };
  return {
    add,
    lines() {
      complete?.();
      const text = older.toString('utf8', 0, olderLength) + newer.toString('utf8', 0, length);
      return text.split('\n').slice(0, -1).slice(-MAX_LINES);
    },
  };
}
