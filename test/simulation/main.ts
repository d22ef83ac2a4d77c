/**
 * `npm run simulate -- [--seed N | --seeds N | --seeds A-B] [--until T] [--trace] [--plant MISTAKE]
 * [--fleets some | all | none]`: plays histories, and prints the smallest one that violates an invariant. The platform is in place before anything else is loaded.
 */
import { plant } from './mistakes/plant.ts';
import { installPlatform } from './platform/hooks.ts';

const at = process.argv.indexOf('--plant');
installPlatform(at === -1 ? undefined : plant(process.argv[at + 1] ?? ''));
const { main } = await import('./cli.ts');
process.exitCode = await main(process.argv.slice(2));
