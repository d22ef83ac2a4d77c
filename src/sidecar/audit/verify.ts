/**
 * Reads audit files back, line by line however large, and names the first place where the chain is broken.
 */
import { createReadStream } from 'node:fs';
import { follow, GENESIS, type Head } from './hash-chain.ts';

export interface Verdict {
  /** Lines that are in order, over all files. */
  readonly lines: number;
  readonly head: Head | undefined;
  /** Where the chain begins: 1 unless older files are left out. */
  readonly firstSeq: number | undefined;
  /** True when the last line says that the log was closed: nothing is missing behind it. */
  readonly closed: boolean;
  /** The first thing that is wrong; nothing after it was looked at. */
  readonly broken: { readonly file: string; readonly line: number; readonly problem: string } | undefined;
}

interface State {
  lines: number;
  head: Head | undefined;
  firstSeq: number | undefined;
  closed: boolean;
}

/**
 * @param files oldest first; each continues the one before
 * @throws NodeJS.ErrnoException when a file cannot be read
 */
export async function verifyFiles(files: readonly string[]): Promise<Verdict> {
  const state: State = { lines: 0, head: undefined, firstSeq: undefined, closed: false };
  for (const file of files) {
    const broken = await verifyFile(file, state);
    if (broken) return { ...state, broken: { file, ...broken } };
  }
  return { ...state, broken: undefined };
}

async function verifyFile(file: string, state: State): Promise<{ line: number; problem: string } | undefined> {
  let number = 0;
  let rest = '';
  for await (const chunk of createReadStream(file, 'utf8')) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      number += 1;
      const problem = take(line, state);
      if (problem !== undefined) return { line: number, problem };
    }
  }
  return rest === '' ? undefined : { line: number + 1, problem: 'is cut off in the middle' };
}

function take(line: string, state: State): string | undefined {
  // The first line of a chain that is not given from its beginning has nothing to be compared with.
  const before = state.head ?? (line.startsWith('{"seq":1,') ? GENESIS : undefined);
  const next = follow(before, line);
  if (typeof next === 'string') return next;
  state.head = next;
  state.firstSeq ??= next.seq;
  state.lines += 1;
  state.closed = line.includes('"event":"closed"');
  return undefined;
}
