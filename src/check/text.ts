/**
 * Findings as text for a terminal, without secrets that a server may echo.
 */

import type { Secret } from '../core/secret.ts';
import { exitCode, type Finding } from './finding.ts';

const MARKS = { ok: 'ok    ', warning: 'warn  ', error: 'FAIL  ' } as const;
const INDENT = ' '.repeat(MARKS.ok.length);

/** Returns one line for the finding and one for its fix, if any. */
export function findingText({ level, subject, message, fix }: Finding): string {
  return `${MARKS[level]}${subject}: ${message}${fix === undefined ? '' : `\n${INDENT}→ ${fix}`}`;
}

const MEANINGS: Readonly<Record<number, string>> = {
  0: 'the sidecar can start',
  1: 'a bug in the sidecar',
  2: 'correct the configuration first',
  5: 'the identity server refuses the credentials',
  6: 'the token endpoint gives no token',
  7: 'an API cannot be reached or refuses the token',
};

/** Returns the last line: the number of errors and warnings, and what the exit code means. */
export function summaryText(findings: readonly Finding[]): string {
  const count = (level: Finding['level'], name: string) => {
    const number = findings.filter((finding) => finding.level === level).length;
    return `${number} ${name}${number === 1 ? '' : 's'}`;
  };
  const code = exitCode(findings);
  return `\n${count('error', 'error')}, ${count('warning', 'warning')}; exit code ${code}: ${MEANINGS[code] ?? ''}`;
}

/** Returns the finding with every given secret or token replaced by `[secret]`. */
export function mask(finding: Finding, secrets: readonly Secret[]): Finding {
  const clean = (text: string) => secrets.reduce((rest, secret) => secret.maskIn(rest), text);
  const { fix } = finding;
  return { ...finding, message: clean(finding.message), ...(fix !== undefined && { fix: clean(fix) }) };
}
