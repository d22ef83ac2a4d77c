/** How many of its random cases a long test plays: a share in `npm test`, all of them in the system suite. */

/** The environment variable that test/system/whole-runs.test.ts sets, and you for one file. */
const WHOLE = 'WHOLE_RUNS';

/** @returns `all` in the system suite, a third in `npm test` */
export function runsOf(all: number): number {
  return process.env[WHOLE] ? all : Math.ceil(all / 3);
}
