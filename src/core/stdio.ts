/**
 * Standard output and error that never keep the process from ending. A stopped terminal (Ctrl-S) or a pipe that nobody
 * reads blocks a write, and Node does not exit while one of its threads is blocked. Hides how to get a descriptor that
 * does not block.
 */
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';

type Standard = 1 | 2;

/** How long the last output of a process waits for a reader, ms. */
const LAST_WORDS_MS = 1000;
const AGAIN_MS = 10;

/**
 * Opens the same pipe or terminal again, in non-blocking mode: a write that would block fails with EAGAIN. The
 * inherited descriptor shares its mode with every program that inherited it, and a Node program resets the mode when it
 * ends. Returns `fd` itself for a file, which does not block, and for a socket, which cannot be reopened; Node sets the
 * mode of a socket when `process.stdout` or `process.stderr` is used.
 */
export function nonBlocking(fd: Standard): number {
  try {
    const found = fstatSync(fd);
    if (!found.isFIFO() && !found.isCharacterDevice()) return fd;
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    // No /proc (Windows, macOS), or the pipe belongs to another user.
    return fd;
  }
}

/** Writes as much of `text` as somebody reads within a second; never throws. For single or last messages. */
export function writeBounded(fd: Standard, text: string): void {
  const own = nonBlocking(fd);
  const deadline = performance.now() + LAST_WORDS_MS;
  try {
    for (let rest = Buffer.from(text); rest.length > 0; ) rest = rest.subarray(writeSome(own, rest, deadline));
  } catch {
    // The reader is gone, the disk is full, or the time is up.
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
