/**
 * Suggests how to write a time or a size that has no unit, or the unit of another program. For messages.
 */

const TIME_UNITS: Readonly<Record<string, string>> = {
  ...{ ms: 'ms', msec: 'ms', millis: 'ms', milliseconds: 'ms' },
  ...{ s: 's', sec: 's', secs: 's', second: 's', seconds: 's' },
  ...{ m: 'm', min: 'm', mins: 'm', minute: 'm', minutes: 'm' },
  ...{ h: 'h', hr: 'h', hrs: 'h', hour: 'h', hours: 'h', d: 'd', day: 'd', days: 'd' },
};
const SIZE_UNITS: Readonly<Record<string, string>> = {
  ...{ '': 'B', b: 'B', byte: 'B', bytes: 'B', k: 'KiB', kb: 'KiB', kib: 'KiB' },
  ...{ m: 'MiB', mb: 'MiB', mib: 'MiB', g: 'GiB', gb: 'GiB', gib: 'GiB' },
};

/**
 * Returns a suggestion to append to a message; empty when the meaning is unclear.
 * @example timeMeant('5 sec') // '; write 5s'
 */
export function timeMeant(text: string): string {
  return meant(text, { ...TIME_UNITS, '': Number(text) < 1000 ? 's' : 'ms' });
}

/** As `timeMeant`, for sizes. @example sizeMeant('64kb') // '; write 64KiB' */
export function sizeMeant(text: string): string {
  return meant(text, SIZE_UNITS);
}

/** Repeats only a short number, which is no secret. */
function meant(text: string, units: Readonly<Record<string, string>>): string {
  const [, count, unit = ''] = /^\s*(\d{1,9})\s*([a-z]{0,12})\s*$/i.exec(text) ?? [];
  const right = Object.hasOwn(units, unit.toLowerCase()) ? units[unit.toLowerCase()] : undefined;
  return count === undefined || right === undefined ? '' : `; write ${count}${right}`;
}
