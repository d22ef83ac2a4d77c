/**
 * Parses the flags of the IAM commands and reports wrong ones.
 */

import { parseAgeMs } from '../../config/iam-schema.ts';
import { SidecarError } from '../../core/errors.ts';

/** Values as commander passes them; repeatable flags are lists. */
export type IamFlags = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

/** Returns the error for a mistake on the command line: exit code 2. */
export function usageError(flag: string, message: string): SidecarError {
  return new SidecarError('CONFIG_INVALID', { problems: [{ where: flag, path: '', message }] });
}

/** Returns the value of a flag; undefined without one. */
export function textFlag(flags: IamFlags, name: string): string | undefined {
  const value = flags[name];
  return typeof value === 'string' ? value : undefined;
}

const FLAG = 'flag --expires';
const DATE = /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(:\d\d(\.\d{1,7})?)?)?(Z|[+-]\d\d:\d\d)?$/;

/**
 * Returns epoch ms; undefined = never. A date means the start of that day, in UTC unless a zone follows, as in Aritma IAM.
 * @throws SidecarError CONFIG_INVALID
 */
export function parseExpiry(text: string, nowMs: number): number | undefined {
  if (text === 'never') return undefined;
  const at = /^\d+[a-z]+$/.test(text) ? nowMs + age(text) : timeOf(text);
  if (at <= nowMs) throw usageError(FLAG, 'is in the past');
  return at;
}

function age(text: string): number {
  try {
    return parseAgeMs(text);
  } catch (error) {
    throw usageError(FLAG, (error as Error).message);
  }
}

function timeOf(text: string): number {
  const [, day = '', time = '', , , zone = 'Z'] = DATE.exec(text) ?? [];
  const ms = Date.parse(time === '' ? `${day}T00:00Z` : `${day}${time}${zone}`);
  // `Date.parse` would turn 31 February into a day of March.
  const exists = new Date(`${day}T00:00Z`).getUTCDate() === Number(day.slice(8));
  if (day !== '' && exists && !Number.isNaN(ms)) return ms;
  throw usageError(FLAG, 'must be never, a duration like 90d, or a date like 2027-06-30 or 2027-06-30T12:00Z');
}
