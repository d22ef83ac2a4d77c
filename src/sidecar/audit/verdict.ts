/**
 * The verdict on an audit log and its rotated files, as text, data and exit code: what is wrong, what could not be checked,
 * and which calls have an unknown outcome.
 */
import { filesOf } from './file-set.ts';
import { type Findings, type Intent, verifyFiles } from './verify.ts';

export interface Verdict {
  readonly exit: number;
  readonly text: string;
  readonly data: Readonly<Record<string, unknown>>;
}

const WHOLE = 0;
const UNREADABLE = 2;
const BROKEN = 11;
/** Calls beyond this number are counted, not listed. */
const LISTED = 100;

/**
 * Verifies an audit log. Never throws: a file that cannot be read is a verdict, too (exit code 2; 11 when broken).
 * @param files one file: its rotated files are added; several: exactly these, in any order
 * @param hash of a line that must exist; undefined = none is known
 * @example
 * const { exit, text } = await auditVerdict(['audit.jsonl'], undefined);
 */
export async function auditVerdict(files: readonly string[], hash: string | undefined): Promise<Verdict> {
  const [file = ''] = files;
  try {
    return verdictOn(await verifyFiles(files.length > 1 ? files : filesOf(file), hash), hash);
  } catch (error) {
    const { code, path = file } = error as NodeJS.ErrnoException;
    const errno = String(code);
    return { exit: UNREADABLE, text: `${path} cannot be read (${errno})\n`, data: { result: 'unreadable', errno } };
  }
}

function verdictOn(findings: Findings, hash: string | undefined): Verdict {
  const { lines, head, firstSeq, provenSeq, closed, unknown, broken } = findings;
  const unchecked = uncheckedIn(findings);
  const found = { lines, firstSeq, lastSeq: head?.seq, hash: head?.hash, closed };
  if (broken) {
    const text = `BROKEN at ${broken.file} line ${broken.line}: it ${broken.problem}; ${lines} lines before it are intact\n`;
    return { exit: BROKEN, text, data: { result: 'broken', ...broken, ...found } };
  }
  if (hash !== undefined && provenSeq === undefined) {
    const text = `BROKEN at the end: no line has that hash, and the last line is number ${head?.seq ?? 0}; lines are missing\n`;
    return { exit: BROKEN, text, data: { result: 'broken', problem: 'another head', ...found } };
  }
  const end = closed ? 'closed in order' : 'not closed: it is in use, or was killed, or lines at its end are missing';
  const text = [
    `ok: ${lines} lines, numbers ${firstSeq ?? 0} to ${head?.seq ?? 0}, ${end}`,
    `    last hash ${head?.hash ?? 'none'}`,
    ...unchecked.map((words) => `    not checked: ${words}`),
    ...unknownIn(unknown),
  ];
  const data = { result: 'ok', ...found, provenSeq, unchecked, unknownCount: unknown.length };
  return { exit: WHOLE, text: `${text.join('\n')}\n`, data: { ...data, unknown: unknown.slice(0, LISTED) } };
}

function uncheckedIn({ head, firstSeq, provenSeq }: Findings): string[] {
  const words: string[] = [];
  if (firstSeq !== undefined && firstSeq > 1)
    words.push(`it begins at number ${firstSeq}: pass the earlier files, too`);
  if (provenSeq === undefined) words.push('the end is not proven, lines may be missing there: pass --head');
  else if (provenSeq !== head?.seq) words.push(`the end is proven up to number ${provenSeq} only: pass a later --head`);
  return words;
}

function unknownIn(unknown: readonly Intent[]): string[] {
  if (unknown.length === 0) return [];
  const calls = unknown.slice(0, LISTED).map(({ seq, at, requestId, method, path }) => {
    return `    unknown: number ${seq}, ${at} ${method} ${path}, request ${requestId}`;
  });
  const about = 'outcome unknown: they still run, or the sidecar was killed during them; ask the API';
  return [`${unknown.length} calls, ${about}`, ...calls];
}
