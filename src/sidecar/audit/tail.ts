/**
 * Reads the end of an audit file without changing it: the last complete line, an unfinished line after a crash, and whether
 * the file is an audit log at all. Hides blocks, NUL bytes and unfinished lines.
 */
import type { FileHandle } from 'node:fs/promises';
import { NotOurs } from './disk.ts';
import { follow, type Head } from './hash-chain.ts';

export interface Tail {
  /** Of the last complete line; undefined = there is none. */
  readonly head: Head | undefined;
  /** Bytes of all complete lines. */
  readonly size: number;
  /** The bytes after them: a line that a crash cut off. */
  readonly torn: Buffer;
  /** The first error in the last lines, the only ones that are checked. */
  readonly broken: string | undefined;
}

/** Longer than any line. */
const BLOCK_BYTES = 64 * 1024;

/** Reads the tail. @throws NotOurs unless the file is empty or ends as an audit log, also after a crash or power loss */
export async function readTail(handle: FileHandle, size: number): Promise<Tail> {
  const end = await endOfText(handle, size);
  const start = Math.max(0, end - BLOCK_BYTES);
  const text = await read(handle, start, end);
  const newline = text.lastIndexOf(10);
  if (newline === -1 && start > 0) throw new NotOurs('is not an audit log: it does not end with a line');
  const lines = newline === -1 ? [] : text.toString('utf8', 0, newline).split('\n');
  // The first line is incomplete when the block starts in the middle of the file.
  if (start > 0) lines.shift();
  const torn = text.subarray(newline + 1);
  if (lines.length === 0 && torn.length === 0 && size > 0) throw new NotOurs('is not an audit log: it has no lines');
  return { ...chainOf(lines), size: start + newline + 1, torn };
}

/** Returns the end without trailing NULs: after a power loss a file can have its length but not its content. */
async function endOfText(handle: FileHandle, size: number): Promise<number> {
  for (let end = size; end > 0; end -= BLOCK_BYTES) {
    const start = Math.max(0, end - BLOCK_BYTES);
    const last = (await read(handle, start, end)).findLastIndex((byte) => byte !== 0);
    if (last !== -1) return start + last + 1;
  }
  return 0;
}

async function read(handle: FileHandle, start: number, end: number): Promise<Buffer> {
  const bytes = Buffer.alloc(end - start);
  const { bytesRead } = await handle.read(bytes, 0, bytes.length, start);
  return bytes.subarray(0, bytesRead);
}

function chainOf(lines: readonly string[]): Pick<Tail, 'head' | 'broken'> {
  let head: Head | undefined;
  let broken: string | undefined;
  for (const line of lines) {
    const next = follow(head, line);
    if (typeof next === 'string') broken ??= `the line after number ${head?.seq ?? '?'} ${next}`;
    const alone = typeof next === 'string' ? follow(undefined, line) : next;
    head = typeof alone === 'string' ? undefined : alone;
  }
  const last = lines.at(-1);
  if (last !== undefined && head === undefined)
    throw new NotOurs(`is not an audit log: its last line ${follow(head, last)}`);
  return { head, broken };
}

/** Checks an unfinished line. @throws NotOurs unless it is the start of the line after `head` */
export function checkTorn(torn: Buffer, head: Head): void {
  const begin = `{"seq":${head.seq + 1},"`;
  const text = torn.toString('utf8', 0, begin.length);
  if (!begin.startsWith(text))
    throw new NotOurs('is not an audit log: its last bytes are not the start of the next line');
}
