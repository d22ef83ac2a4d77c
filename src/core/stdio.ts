/**
 * Standard output and error for a process that has to end when it is asked to, whoever reads them: a stopped terminal
 * (Ctrl-S) or a pipe that nobody reads blocks a write, and Node does not exit while one of its threads is blocked. Hides how
 * a descriptor of our own is had that does not block.
 */
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';

type Standard = 1 | 2;

/** How long the last words of a process wait for a reader, ms. */
const LAST_WORDS_MS = 1000;
const AGAIN_MS = 10;

/**
 * The same pipe or terminal, opened anew: writes that would block fail with EAGAIN. The inherited descriptor will not do,
 * because its mode is shared with every program that inherited it, and a Node program sets it back when it ends. A file
 * does not block and keeps its position; a socket cannot be opened anew, and Node has set its mode where `process.stdout` and
 * `process.stderr` have been used: both stay as they are.
 */
export function nonBlocking(fd: Standard): number {
  try {
    const found = fstatSync(fd);
    if (!found.isFIFO() && !found.isCharacterDevice()) return fd;
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    // No /proc (Windows, macOS), or a pipe that belongs to another user.
    return fd;
  }
}

/** Writes all of `text`, or as much of it as is read within a second; never throws. For what is said once, or last. */
export function writeBounded(fd: Standard, text: string): void {
  const own = nonBlocking(fd);
  const deadline = performance.now() + LAST_WORDS_MS;
  try {
    for (let rest = Buffer.from(text); rest.length > 0; ) rest = rest.subarray(writeSome(own, rest, deadline));
  } catch {
    // The reader is gone, the disk is full, or the second is over.
  } finally {
    if (own !== fd) closeSync(own);
  }
}

function writeSome(fd: number, bytes: Buffer, deadline: number): number {
  try {
    return writeSync(fd, bytes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || performance.now() > deadline) throw error;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, AGAIN_MS);
    return 0;
  }
}
