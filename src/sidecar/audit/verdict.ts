/**
 * The verdict on an audit log, files set aside included, in words and as an exit code.
 */
import { filesOf } from './recover.ts';
import { type Verdict as Findings, verifyFiles } from './verify.ts';

export interface Verdict {
  readonly exit: number;
  readonly text: string;
  readonly data: Readonly<Record<string, unknown>>;
}

const WHOLE = 0;
const UNREADABLE = 2;
const BROKEN = 11;

/** @param head the hash the last line should have; undefined = nobody knows */
export async function auditVerdict(file: string, head: string | undefined): Promise<Verdict> {
  try {
    return verdictOn(await verifyFiles(filesOf(file)), head);
  } catch (error) {
    const errno = String((error as NodeJS.ErrnoException).code);
    return { exit: UNREADABLE, text: `${file} cannot be read (${errno})\n`, data: { result: 'unreadable', errno } };
  }
}

function verdictOn({ lines, head, firstSeq, closed, broken }: Findings, expected: string | undefined): Verdict {
  const found = { lines, firstSeq, lastSeq: head?.seq, hash: head?.hash, closed };
  if (broken) {
    const text = `BROKEN at ${broken.file} line ${broken.line}: it ${broken.problem}; ${lines} lines before it are in order\n`;
    return { exit: BROKEN, text, data: { result: 'broken', ...broken, ...found } };
  }
  if (expected !== undefined && expected !== head?.hash) {
    const text = `BROKEN at the end: the last line is number ${head?.seq ?? 0} and has another hash; lines are missing\n`;
    return { exit: BROKEN, text, data: { result: 'broken', problem: 'another head', ...found } };
  }
  const end = closed ? 'closed in order' : 'not closed: it is in use, or was killed, or lines at its end are missing';
  const text = `ok: ${lines} lines, numbers ${firstSeq ?? 0} to ${head?.seq ?? 0}, ${end}\n    last hash ${head?.hash ?? 'none'}\n`;
  return { exit: WHOLE, text, data: { result: 'ok', ...found } };
}
