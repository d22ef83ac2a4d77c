/**
 * Where an audit log left off: its last whole line, in the file itself or in the one set aside last. What a crash left of a
 * line is taken away, and counted.
 */
import { closeSync, fstatSync, ftruncateSync, openSync, readdirSync, readSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { follow, GENESIS, type Head } from './hash-chain.ts';

export interface Recovered {
  readonly head: Head;
  /** Of the file, in bytes. */
  readonly size: number;
  /** What was left of a line that was never finished. */
  readonly lostBytes: number;
}

/** No line is longer. */
const TAIL_BYTES = 64 * 1024;

/**
 * @throws NodeJS.ErrnoException, or Error when the end is not an audit line: somebody else wrote to this file
 */
export function recover(file: string): Recovered {
  const tail = readTail(file, true);
  const before = tail?.lastLine === undefined ? newestAside(file) : undefined;
  const line = tail?.lastLine ?? (before && readTail(before, false)?.lastLine);
  const head = line === undefined ? GENESIS : follow(undefined, line);
  if (typeof head === 'string') throw new Error(`the last line of ${before ?? file} ${head}`);
  return { head, size: tail?.size ?? 0, lostBytes: tail?.lostBytes ?? 0 };
}

/** All files of a log, oldest first. */
export function filesOf(file: string): string[] {
  const folder = dirname(file);
  const aside = readdirSync(folder).filter((name) => name.startsWith(`${basename(file)}.`) && /\.\d{12}$/.test(name));
  return [...aside.sort().map((name) => join(folder, name)), file];
}

function newestAside(file: string): string | undefined {
  return filesOf(file).at(-2);
}

interface Tail {
  readonly lastLine: string | undefined;
  readonly size: number;
  readonly lostBytes: number;
}

function readTail(file: string, repair: boolean): Tail | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(file, repair ? 'r+' : 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { size } = fstatSync(descriptor);
    const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES));
    readSync(descriptor, bytes, 0, bytes.length, size - bytes.length);
    const end = bytes.lastIndexOf(10);
    const lostBytes = bytes.length - end - 1;
    if (repair && lostBytes > 0) ftruncateSync(descriptor, size - lostBytes);
    const whole = bytes.subarray(0, Math.max(0, end)).toString();
    const lastLine = whole === '' ? undefined : whole.slice(whole.lastIndexOf('\n') + 1);
    return { lastLine, size: size - lostBytes, lostBytes };
  } finally {
    closeSync(descriptor);
  }
}
