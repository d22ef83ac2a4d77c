/**
 * What the doctor says: one finding for each thing looked at, and the exit code that follows from all of them.
 */

import { ERRORS, type ErrorCode } from '../core/errors.ts';
import type { Words } from '../core/failure.ts';
import { visible } from '../core/terminal.ts';

export interface Finding {
  readonly level: 'ok' | 'warning' | 'error';
  /** `configuration`, `token default`, `upstream /banking`. */
  readonly subject: string;
  /** What the running sidecar would fail with; decides the exit code. Absent when all is well. */
  readonly code?: ErrorCode;
  readonly cause?: string;
  readonly message: string;
  /** What to do; absent when there is nothing to do. */
  readonly fix?: string;
}

/** Builders, so that every finding has its fields in the same order. */
export const FINDING = {
  ok: (subject: string, message: string): Finding => ({ level: 'ok', subject, message }),
  warning: (subject: string, code: ErrorCode, words: Words): Finding => ({ level: 'warning', subject, code, ...words }),
  error: (subject: string, code: ErrorCode, words: Words): Finding => ({ level: 'error', subject, code, ...words }),
} as const;

/** The most fundamental problem decides: configuration before credentials before token endpoint before API. */
export function exitCode(findings: readonly Finding[]): number {
  const codes = findings.flatMap(({ level, code }) => (level === 'error' && code ? [exitOf(code)] : []));
  return codes.length === 0 ? 0 : Math.min(...codes);
}

/** An address that cannot be listened on is something to change in the configuration. */
function exitOf(code: ErrorCode): number {
  return code === 'SIDECAR_LISTEN_FAILED' ? ERRORS.CONFIG_INVALID.exit : ERRORS[code].exit;
}

const MAX_SHOWN = 120;

/** What came from a server, made fit for a terminal: no control characters, no length without end; no text as JSON. */
export function shown(value: unknown): string {
  const clean = visible(typeof value === 'string' ? value : String(JSON.stringify(value)));
  return clean.length > MAX_SHOWN ? `${clean.slice(0, MAX_SHOWN)}…` : clean;
}
