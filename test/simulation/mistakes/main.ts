/**
 * `node test/simulation/mistakes/main.ts [--most N] [NAME…]`: how many seeds it takes to find each mistake. To see one:
 * `npm run simulate -- --plant NAME --seed N`; for those of a fleet with `--fleets all`.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { hunt } from './hunt.ts';
import { MISTAKES } from './mistakes.ts';

/** @returns the exit code: 1 when a mistake is not found, 2 for a name that there is not */
async function huntAll(args: readonly string[]): Promise<number> {
  const options = { most: { type: 'string', default: '500' } } as const;
  const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options });
  const unknown = positionals.find((name) => !(name in MISTAKES));
  if (unknown !== undefined) {
    process.stderr.write(`${unknown} is unknown; known are ${Object.keys(MISTAKES).join(', ')}\n`);
    return 2;
  }
  const open = positionals.length > 0 ? positionals : Object.keys(MISTAKES);
  let missed = 0;
  const hunter = async () => {
    for (let name = open.shift(); name !== undefined; name = open.shift()) {
      const { found, seeds } = await hunt(name, Number(values.most));
      if (!found) missed += 1;
      const [first] = found?.detail.split('\n') ?? [];
      const result = found ? `found by ${found.invariant} in seed ${found.seed}, ${first}` : 'NOT FOUND';
      process.stdout.write(`${name}: ${seeds} seeds: ${result}\n`);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, hunter));
  return missed > 0 ? 1 : 0;
}

process.exitCode = await huntAll(process.argv.slice(2));
