/**
 * The files of one audit log: the current one, those rotated by the sidecar, and those rotated by logrotate, compressed or
 * not. Hides their names, their order and how lines are read.
 */
import { createReadStream, readdirSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { createGunzip } from 'node:zlib';
import { NotOurs } from './disk.ts';
import { follow, GENESIS, type Head } from './hash-chain.ts';
import { checkTorn, readTail, type Tail } from './tail.ts';

/** The sidecar names rotated files `FILE.000000000012`; logrotate `FILE.1` or `FILE-20260102`, also with `.backup` or `.gz`. */
const ASIDE = /^[.-]\d[\d.-]*(?:\.backup)?(?:\.gz)?$/;

/**
 * Returns all files of a log, the current one last.
 * @throws NodeJS.ErrnoException ENOENT when there is none
 * @example
 * filesOf('audit.jsonl'); // ['audit.jsonl.000000000012', 'audit.jsonl']
 */
export function filesOf(file: string): string[] {
  const name = basename(file);
  const belongs = (other: string) => other === name || (other.startsWith(name) && ASIDE.test(other.slice(name.length)));
  const found = readdirSync(dirname(file)).filter(belongs);
  if (found.length === 0) throw Object.assign(new Error(`there is no ${file}`), { code: 'ENOENT' });
  // Reading a pipe would block.
  const isFile = (other: string) => statSync(join(dirname(file), other), { throwIfNoEntry: false })?.isFile() === true;
  const aside = found.filter((other) => other !== name && isFile(other)).sort();
  return [...aside, ...(found.includes(name) ? [name] : [])].map((other) => join(dirname(file), other));
}

/** Files with nearly the same time are sorted by their line numbers instead. */
const SAME_MOMENT_MS = 10_000;

/** The end of a log: in its file, or when that has no line, in the newest rotated file. */
export interface End extends Pick<Tail, 'size' | 'broken'> {
  readonly head: Head;
  /** Bytes of an unfinished last line. */
  readonly lostBytes: number;
}

/** Reads the end of a log. @param handle undefined = no file yet @throws NotOurs when it does not end as an audit log */
export async function readEnd(path: string, handle: FileHandle | undefined, bytes: number): Promise<End> {
  const tail = handle && (await readTail(handle, bytes));
  const head = tail?.head ?? (await headAside(path));
  const lostBytes = bytes - (tail?.size ?? 0);
  if (tail && lostBytes > 0) checkTorn(tail.torn, head);
  return { head, size: tail?.size ?? 0, broken: tail?.broken, lostBytes };
}

/** Returns the last line of the newest rotated file. @throws NotOurs when it does not end as an audit log */
async function headAside(file: string): Promise<Head> {
  const byAge = asideOf(file)
    .map((path) => ({ path, ms: statSync(path).mtimeMs }))
    .sort((one, other) => other.ms - one.ms);
  let newest: { head: Head; ms: number } | undefined;
  for (const { path, ms } of byAge) {
    if (newest && ms < newest.ms - SAME_MOMENT_MS) break;
    const head = await lastHead(path);
    if (head && head.seq > (newest?.head.seq ?? 0)) newest = { head, ms: newest?.ms ?? ms };
  }
  return newest?.head ?? GENESIS;
}

function asideOf(file: string): string[] {
  try {
    return filesOf(file).filter((other) => other !== file);
  } catch {
    return [];
  }
}

async function lastHead(path: string): Promise<Head | undefined> {
  try {
    if (path.endsWith('.gz')) return await lastHeadOfStream(path);
    await using handle = await open(path, 'r');
    return (await readTail(handle, (await handle.stat()).size)).head;
  } catch (error) {
    if (error instanceof NotOurs) throw new NotOurs(`cannot be continued: ${path} ${error.message}`);
    throw error;
  }
}

async function lastHeadOfStream(path: string): Promise<Head | undefined> {
  let last: string | undefined;
  for await (const { text } of linesOf(path)) last = text;
  const head = last === undefined ? undefined : follow(undefined, last);
  if (typeof head === 'string') throw new NotOurs(`is not an audit log: its last line ${head}`);
  return head;
}

export interface Line {
  readonly text: string;
  /** From 1. */
  readonly number: number;
  /** False for text after the last newline. */
  readonly isWhole: boolean;
}

/** In characters; audit lines are far shorter. */
const MAX_LINE = 1024 * 1024;

/** Yields the lines of a file of any size. @throws NodeJS.ErrnoException when it cannot be read or unpacked */
export async function* linesOf(path: string): AsyncGenerator<Line> {
  const raw = createReadStream(path);
  const bytes = path.endsWith('.gz') ? raw.on('error', (error) => unpacked.destroy(error)).pipe(createGunzip()) : raw;
  const unpacked = bytes.setEncoding('utf8');
  let number = 0;
  let rest = '';
  for await (const chunk of unpacked) {
    const lines = (rest + String(chunk)).split('\n');
    rest = lines.pop() ?? '';
    for (const text of lines) yield { text, number: ++number, isWhole: true };
    // Not an audit line, and it may never end.
    if (rest.length > MAX_LINE) break;
  }
  if (rest !== '') yield { text: rest, number: number + 1, isWhole: false };
}
