/** What `npm run simulate` does: many seeds on all cores, or one seed as a timeline. */
import { parseArgs } from 'node:util';
import { playOnAllCores } from './all-cores.ts';
import type { Fleets } from './history.ts';

const DAY_MS = 86_400_000;
const UNITS_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: DAY_MS };

/** @returns the exit code: 1 after a violation @throws Error that says which flag is wrong, and what it must be */
export async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...{ seed: { type: 'string' }, seeds: { type: 'string' }, until: { type: 'string' }, plant: { type: 'string' } },
      fleets: { type: 'string', default: 'some' },
      ...{ trace: { type: 'boolean', default: false }, child: { type: 'boolean', default: false } },
    },
  });
  refuse('--seed', values.seed, /^\d+$/, 'a number');
  refuse('--seeds', values.seeds, /^\d+(-\d+)?$/, 'a number of seeds, or A-B');
  refuse('--until', values.until, /^\d+[smhd]?$/, 'a time such as 90m');
  refuse('--fleets', values.fleets, /^(some|all|none)$/, 'some, all or none');
  const [first, last] = rangeOf(values.seeds ?? '100');
  if (last < first) throw new Error(`--seeds ${values.seeds}: there is no seed from ${first} to ${last}`);
  const fleets = values.fleets as Fleets;
  if (!values.child && !values.seed) return playOnAllCores([first, last], { plant: values.plant, fleets });
  // Not in the process that only waits for others: the whole product is loaded with it.
  const { playOne, playSeeds, warmUp } = await import('./seeds.ts');
  await warmUp();
  if (values.child) return playSeeds(values.seeds ? [first, last] : undefined, fleets);
  return playOne(Number(values.seed), { fleets, trace: values.trace, until: untilMs(values.until) });
}

/** What is not understood must not look like a history without a violation. */
function refuse(flag: string, value: string | undefined, right: RegExp, what: string): void {
  if (value !== undefined && !right.test(value)) throw new Error(`${flag} ${value}: must be ${what}`);
}

function rangeOf(text: string): [first: number, last: number] {
  const [first = 1, last] = text.split('-').map(Number);
  return last === undefined ? [1, first] : [first, last];
}

function untilMs(text = `${DAY_MS}d`): number {
  const [, count, unit = 'd'] = /^(\d+)([smhd])?$/.exec(text) ?? [];
  return Number(count) * (UNITS_MS[unit] ?? DAY_MS);
}
