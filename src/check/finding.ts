/**
 * Findings of the doctor: one for each thing it checks, and the exit code that follows from all of them.
 */

import { ERRORS, type ErrorCode } from '../core/errors.ts';
import type { Words } from '../core/failure.ts';
import { visible } from '../core/terminal.ts';

export interface Finding {
  readonly level: 'ok' | 'warning' | 'error';
  /** `configuration`, `token default`, `upstream /banking`. */
  readonly subject: string;
  /** The error a running sidecar would have; decides the exit code. Absent for `ok`. */
  readonly code?: ErrorCode;
  readonly cause?: string;
  readonly message: string;
  /** What to do; absent for `ok`. */
  readonly fix?: string;
}

/** Builds findings with their fields always in the same order. */
export const FINDING = {
  ok: (subject: string, message: string): Finding => ({ level: 'ok', subject, message }),
  warning: (subject: string, code: ErrorCode, words: Words): Finding => ({ level: 'warning', subject, code, ...words }),
  error: (subject: string, code: ErrorCode, words: Words): Finding => ({ level: 'error', subject, code, ...words }),
} as const;

/**
 * Returns the exit code of the most basic error: configuration, then credentials, token endpoint, API. 0 without
 * errors.
 */
export function exitCode(findings: readonly Finding[]): number {
  const codes = findings.flatMap(({ level, code }) => (level === 'error' && code ? [exitOf(code)] : []));
  return codes.length === 0 ? 0 : Math.min(...codes);
}

/** A listener that cannot start counts as a configuration error: the address is what the user changes. */
function exitOf(code: ErrorCode): number {
  return code === 'SIDECAR_LISTEN_FAILED' ? ERRORS.CONFIG_INVALID.exit : ERRORS[code].exit;
}

const MAX_SHOWN = 120;

/** Makes a value from a server safe to print: no control characters, 120 characters at most. JSON if it is not text. */
export function shown(value: unknown): string {
  const clean = visible(typeof value === 'string' ? value : String(JSON.stringify(value)));
  return clean.length > MAX_SHOWN ? `${clean.slice(0, MAX_SHOWN)}…` : clean;
}
