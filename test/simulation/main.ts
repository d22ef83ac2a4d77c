/**
 * `npm run simulate -- [--seed N | --seeds N | --seeds A-B] [--until T] [--trace] [--plant MISTAKE]
 * [--fleets some | all | none]`: plays histories, and prints the smallest one that violates an invariant. Exit codes: 1 after a
 * violation, 2 after a wrong flag. The platform is in place before anything else is loaded.
 */
import { enableCompileCache } from 'node:module';
import { plant } from './mistakes/plant.ts';
import { installPlatform } from './platform/hooks.ts';

// A run has many processes.
enableCompileCache();
try {
  const at = process.argv.indexOf('--plant');
  installPlatform(at === -1 ? undefined : plant(process.argv[at + 1] ?? ''));
  const { main } = await import('./cli.ts');
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 2;
}
