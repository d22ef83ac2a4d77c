/**
 * Verifies audit files: reads them line by line, in the order of their line numbers, whatever their names and sizes. Finds
 * the first break of the chain, and the calls that were about to be sent and have no outcome.
 */
import { linesOf } from './file-set.ts';
import { follow, GENESIS, type Head } from './hash-chain.ts';

export interface Findings {
  /** Valid lines in all files. */
  readonly lines: number;
  readonly head: Head | undefined;
  /** Number of the first line: 1 unless older files are left out. */
  readonly firstSeq: number | undefined;
  /** True when the last line is the `closed` event. */
  readonly closed: boolean;
  /** Number of the line with the requested hash. */
  readonly provenSeq: number | undefined;
  /** Calls that were about to be sent and have no entry about their outcome. */
  readonly unknown: readonly Intent[];
  /** The first error; lines after it were not checked. */
  readonly broken: { readonly file: string; readonly line: number; readonly problem: string } | undefined;
}

export interface Intent {
  readonly seq: number;
  readonly at: string;
  readonly requestId: string;
  readonly method: string;
  readonly path: string;
}

interface State extends Omit<Findings, 'unknown' | 'broken'> {
  lines: number;
  head: Head | undefined;
  firstSeq: number | undefined;
  closed: boolean;
  provenSeq: number | undefined;
  readonly asked: string | undefined;
  readonly open: Map<number, Intent>;
}

/**
 * Verifies files as one chain.
 * @param files in any order
 * @param hash of a line that should exist; undefined = none is known
 * @throws NodeJS.ErrnoException when a file cannot be read or unpacked
 * @example
 * const { broken, unknown } = await verifyFiles(filesOf('audit.jsonl'));
 */
export async function verifyFiles(files: readonly string[], hash?: string): Promise<Findings> {
  const state: State = {
    ...{ lines: 0, head: undefined, firstSeq: undefined, closed: false, provenSeq: undefined },
    ...{ asked: hash, open: new Map<number, Intent>() },
  };
  let broken: Findings['broken'];
  for (const file of await inOrder(files)) {
    const found = await verifyFile(file, state);
    if (found) broken = { file, ...found };
    if (found) break;
  }
  const { asked, open, ...rest } = state;
  return { ...rest, unknown: [...open.values()], broken };
}

/** Sorts files by the number of their first line. A file without one comes first, so that it is reported. */
async function inOrder(files: readonly string[]): Promise<string[]> {
  const numbered: { readonly file: string; readonly seq: number }[] = [];
  for (const file of new Set(files)) {
    for await (const { text } of linesOf(file)) {
      numbered.push({ file, seq: Number(/^\{"seq":(\d+),/.exec(text)?.[1] ?? 0) });
      break;
    }
  }
  return numbered.sort((one, other) => one.seq - other.seq).map(({ file }) => file);
}

async function verifyFile(file: string, state: State): Promise<{ line: number; problem: string } | undefined> {
  for await (const { text, number, isWhole } of linesOf(file)) {
    const problem = isWhole ? take(text, state) : 'is cut off in the middle';
    if (problem !== undefined) return { line: number, problem };
  }
  return undefined;
}

function take(line: string, state: State): string | undefined {
  // When older files are left out, the first line has no predecessor to compare with.
  const before = state.head ?? (line.startsWith('{"seq":1,') ? GENESIS : undefined);
  const next = follow(before, line);
  if (typeof next === 'string') return next;
  state.head = next;
  state.firstSeq ??= next.seq;
  state.lines += 1;
  state.closed = line.includes('"event":"closed"');
  if (next.hash === state.asked) state.provenSeq = next.seq;
  if (line.includes('"intent"')) noteIntent(line, next.seq, state.open);
  return undefined;
}

function noteIntent(line: string, seq: number, open: Map<number, Intent>): void {
  const { event, intent, at, requestId, method, path } = JSON.parse(line) as Record<string, unknown>;
  if (event === 'intent')
    open.set(seq, { seq, at: String(at), requestId: String(requestId), method: String(method), path: String(path) });
  else open.delete(Number(intent));
}
