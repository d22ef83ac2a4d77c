/**
 * Findings for a person at a terminal.
 */
import { exitCode, type Finding } from './finding.ts';

const MARKS = { ok: 'ok    ', warning: 'warn  ', error: 'FAIL  ' } as const;
const INDENT = ' '.repeat(MARKS.ok.length);

/** One line for the finding and one for what to do about it. */
export function findingText({ level, subject, message, fix }: Finding): string {
  return `${MARKS[level]}${subject}: ${message}${fix === undefined ? '' : `\n${INDENT}→ ${fix}`}`;
}

const MEANINGS: Readonly<Record<number, string>> = {
  0: 'the sidecar can be started',
  1: 'a defect of the sidecar itself',
  2: 'correct the configuration first',
  5: 'the identity server refuses the credentials',
  6: 'no token can be had from the token endpoint',
  7: 'an API cannot be reached or refuses the token',
};

/** The last line: how many of each, and what the exit code means. */
export function summaryText(findings: readonly Finding[]): string {
  const count = (level: Finding['level'], name: string) => {
    const number = findings.filter((finding) => finding.level === level).length;
    return `${number} ${name}${number === 1 ? '' : 's'}`;
  };
  const code = exitCode(findings);
  return `\n${count('error', 'error')}, ${count('warning', 'warning')}; exit code ${code}: ${MEANINGS[code] ?? ''}`;
}
