/** The days of whoever pays: working days, and those at the turn of a month, on which much is paid within a few hours. */

/** Of all histories, epoch ms. A Thursday: the first stretch is on a day with payments. */
export const START = Date.UTC(2026, 0, 1);
export const DAY_MS = 86_400_000;
/** From midnight on, as batches do. */
const BURST_MS = 4 * 3_600_000;
const WEEKEND: readonly number[] = [0, 6];
const WORKING_DAYS_OF_BURST = 2;

export function isWorkingDay(ms: number): boolean {
  return !WEEKEND.includes(new Date(ms).getUTCDay());
}

/** The hours of the last working day of a month, and of the first two. */
export function isMonthEndBurst(ms: number): boolean {
  return ms % DAY_MS < BURST_MS && isMonthEnd(ms);
}

/** The first moment of such hours that comes after. */
export function nextMonthEnd(ms: number): number {
  let day = ms - (ms % DAY_MS) + DAY_MS;
  while (!isMonthEnd(day)) day += DAY_MS;
  return day;
}

function isMonthEnd(ms: number): boolean {
  if (!isWorkingDay(ms)) return false;
  const date = new Date(ms);
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
  const workingDays = (from: number, to: number) =>
    Array.from({ length: Math.max(0, to - from) }, (_one, index) => Date.UTC(year, month, from + index)).filter(
      isWorkingDay,
    ).length;
  const days = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
  return workingDays(1, day) < WORKING_DAYS_OF_BURST || workingDays(day + 1, days + 1) === 0;
}
