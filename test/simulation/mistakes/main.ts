/**
 * `npm run simulate:mistakes -- [--most N] [NAME…]`: how many seeds it takes to find each mistake. To see one:
 * `npm run simulate -- --plant NAME --seed N`; for those of a fleet with `--fleets all`. Exit codes: 1 when one is not found, 2 for a
 * wrong word.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { understood } from '../flags.ts';
import { hunt } from './hunt.ts';
import { MISTAKES } from './mistakes.ts';
import { mistakeOf } from './plant.ts';

interface Wanted {
  readonly most: number;
  readonly names: readonly string[];
}

/** @throws Error that says which word is wrong */
function asked(args: readonly string[]): Wanted {
  const options = { most: { type: 'string', default: '500' } } as const;
  const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options });
  if (!/^[1-9]\d{0,14}$/.test(values.most)) throw new Error(`--most ${values.most}: must be a number of seeds`);
  for (const name of positionals) mistakeOf(name);
  return { most: Number(values.most), names: positionals.length > 0 ? positionals : Object.keys(MISTAKES) };
}

/** @returns the exit code: 1 when a mistake is not found */
async function huntAll({ most, names }: Wanted): Promise<number> {
  const open = [...names];
  let missed = 0;
  const hunter = async () => {
    for (let name = open.shift(); name !== undefined; name = open.shift()) {
      const { found, seeds } = await hunt(name, most);
      if (!found) missed += 1;
      const [first] = found?.detail.split('\n') ?? [];
      const result = found ? `found by ${found.invariant} in seed ${found.seed}, ${first}` : 'NOT FOUND';
      process.stdout.write(`${name}: ${seeds} seeds: ${result}\n`);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, hunter));
  return missed > 0 ? 1 : 0;
}

const wanted = understood(() => asked(process.argv.slice(2)));
if (wanted) process.exitCode = await huntAll(wanted);
