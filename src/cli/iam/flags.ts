/**
 * Flags of the IAM commands as values, and what is said of a wrong one.
 */

import { parseAgeMs } from '../../config/iam-schema.ts';
import { SidecarError } from '../../core/errors.ts';

/** As commander hands them over; repeatable ones are lists. */
export type IamFlags = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

/** A mistake on the command line: exit code 2. */
export function usageError(flag: string, message: string): SidecarError {
  return new SidecarError('CONFIG_INVALID', { problems: [{ where: flag, path: '', message }] });
}

/** A flag that was given a value. */
export function textFlag(flags: IamFlags, name: string): string | undefined {
  const value = flags[name];
  return typeof value === 'string' ? value : undefined;
}

const FLAG = 'flag --expires';
const DATE = /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(:\d\d(\.\d{1,7})?)?)?(Z|[+-]\d\d:\d\d)?$/;

/** Epoch ms; undefined = never. A date is the first moment of that day, without a zone in UTC, as Aritma has it. @throws SidecarError CONFIG_INVALID */
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
  // 31 February would silently become March.
  const exists = new Date(`${day}T00:00Z`).getUTCDate() === Number(day.slice(8));
  if (day !== '' && exists && !Number.isNaN(ms)) return ms;
  throw usageError(FLAG, 'must be never, an age such as 90d, or a date such as 2027-06-30 or 2027-06-30T12:00Z');
}
