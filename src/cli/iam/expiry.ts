/**
 * When a new secret is to expire, from what a person writes: `90d`, `2027-06-30`, `2027-06-30T12:00Z`, `never`.
 */
import { parseAgeMs } from '../../config/iam-schema.ts';
import { usageError } from './flags.ts';

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
