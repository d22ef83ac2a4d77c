/**
 * What somebody meant who has written a time or a size without its unit, or with the unit of another program: what to write
 * instead, for messages.
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

/** `; write 5s` for `5`, `5 sec` or `5S`, to put behind what is allowed; empty where nobody can know what is meant. */
export function timeMeant(text: string): string {
  return meant(text, { ...TIME_UNITS, '': Number(text) < 1000 ? 's' : 'ms' });
}

/** The same for sizes: `; write 64KiB` for `64kb`. */
export function sizeMeant(text: string): string {
  return meant(text, SIZE_UNITS);
}

/** Repeats a number of few digits, which is no secret, and nothing else. */
function meant(text: string, units: Readonly<Record<string, string>>): string {
  const [, count, unit = ''] = /^\s*(\d{1,9})\s*([a-z]{0,12})\s*$/i.exec(text) ?? [];
  const right = Object.hasOwn(units, unit.toLowerCase()) ? units[unit.toLowerCase()] : undefined;
  return count === undefined || right === undefined ? '' : `; write ${count}${right}`;
}
