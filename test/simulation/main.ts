/**
 * `npm run simulate`: plays histories, and prints the smallest one that violates an invariant. The platform is in place before
 * anything else is loaded.
 */
import { enableCompileCache } from 'node:module';
import { type Flags, flagsOf, USAGE, understood } from './flags.ts';
import { plant } from './mistakes/plant.ts';
import { installPlatform } from './platform/hooks.ts';

// A run has many processes.
enableCompileCache();
// Whoever reads may have seen enough; but what could not be told must not look like nothing.
process.stdout.on('error', () => process.exit(process.exitCode || 1));
const flags = understood(() => prepared(process.argv.slice(2)));
if (flags?.help) process.stdout.write(USAGE);
else if (flags) process.exitCode = await simulate(flags);

/** Puts the platform in place. @throws Error that says which flag is wrong */
function prepared(args: readonly string[]): Flags {
  const right = flagsOf(args);
  installPlatform(right.plant === undefined ? undefined : plant(right.plant, right.fleets));
  return right;
}

/** @returns the exit code */
async function simulate({ child, seed, seeds, areAsked, ...how }: Flags): Promise<number> {
  if (!child && seed === undefined) {
    const { playOnAllCores } = await import('./all-cores.ts');
    return playOnAllCores(seeds, how);
  }
  // Not in the process that only waits for others: the whole product is loaded with it.
  const { playOne, playSeeds, warmUp } = await import('./seeds.ts');
  await warmUp();
  return seed === undefined ? playSeeds(areAsked ? undefined : seeds, how.fleets) : playOne(seed, how);
}
