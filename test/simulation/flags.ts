/** What `npm run simulate` can be asked for. */
import { parseArgs } from 'node:util';
import type { Fleets } from './history.ts';

export const USAGE = `npm run simulate -- [--seeds N | --seeds A-B | --seed N] [flags]

  --seeds N, A-B     plays the first N seeds (100 unless told), or those from A to B, on all cores
  --seed N           plays one seed; prints its smallest history if it violates an invariant
  --trace            prints the timeline of --seed instead
  --until T          ends --seed after that simulated time: 90s, 90m, 36h, 10d
  --fleets WHICH     some (seeds choose), all or none: whether histories are of a fleet
  --plant MISTAKE    with a mistake planted in src, one of test/simulation/mistakes

Exit codes: 0 nothing found, 1 a violation or a seed that could not be played, 2 a wrong flag.
`;

export interface Flags {
  readonly seed: number | undefined;
  /** First and last. */
  readonly seeds: readonly [number, number];
  /** Of a process that plays for another one, without `--seeds`: standard input has a seed in each line. */
  readonly areAsked: boolean;
  /** ms since the start */
  readonly until: number;
  readonly trace: boolean;
  readonly fleets: Fleets;
  readonly plant: string | undefined;
  readonly help: boolean;
  /** Plays for another process. */
  readonly child: boolean;
}

const TEXT = { type: 'string' } as const;
const SWITCH = { type: 'boolean', default: false } as const;
const OPTIONS = {
  ...{ seed: TEXT, seeds: TEXT, until: TEXT, plant: TEXT, fleets: { ...TEXT, default: 'some' } },
  ...{ trace: SWITCH, help: SWITCH, child: SWITCH },
};
const UNITS_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** What `read` returns; undefined when it throws, after its message and with exit code 2. */
export function understood<Read>(read: () => Read): Read | undefined {
  try {
    return read();
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exitCode = 2;
    return undefined;
  }
}

/** @throws Error that says which flag is wrong, and what it must be */
export function flagsOf(args: readonly string[]): Flags {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  const { seed, seeds, until, fleets } = values;
  // What is not understood, or not done, must not look like a history without a violation.
  refuse('--seed', seed, /^\d{1,15}$/, 'a number');
  refuse('--seeds', seeds, /^\d{1,15}(-\d{1,15})?$/, 'a number of seeds, or A-B');
  refuse('--until', until, /^\d{1,15}[smhd]$/, 'a time such as 90m or 10d');
  refuse('--fleets', fleets, /^(some|all|none)$/, 'some, all or none');
  if (seed !== undefined && seeds !== undefined) throw new Error('--seed and --seeds: only one of them');
  if (seed === undefined && (until !== undefined || values.trace))
    throw new Error(`${values.trace ? '--trace' : '--until'}: needs --seed`);
  const [first, last] = rangeOf(seeds ?? '100');
  if (last < first) throw new Error(`--seeds ${seeds}: there is no seed from ${first} to ${last}`);
  return {
    ...{ ...values, fleets: fleets as Fleets, plant: values.plant, until: untilMs(until) },
    ...{ seed: seed === undefined ? undefined : Number(seed), seeds: [first, last], areAsked: seeds === undefined },
  };
}

function refuse(flag: string, value: string | undefined, right: RegExp, what: string): void {
  if (value !== undefined && !right.test(value)) throw new Error(`${flag} ${value}: must be ${what}`);
}

function rangeOf(text: string): [first: number, last: number] {
  const [first = 1, last] = text.split('-').map(Number);
  return last === undefined ? [1, first] : [first, last];
}

function untilMs(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  return Number(text.slice(0, -1)) * (UNITS_MS[text.slice(-1)] ?? Number.NaN);
}
