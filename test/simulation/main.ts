/**
 * `npm run simulate -- [--seed N | --seeds N | --seeds A-B] [--until T] [--trace] [--plant MISTAKE]`: plays histories, and prints
 * the smallest one that violates an invariant. The platform is in place before anything else is loaded.
 */
import { MISTAKES, plant } from './mistakes.ts';
import { installPlatform } from './platform/hooks.ts';

const mistake = MISTAKES[process.argv[process.argv.indexOf('--plant') + 1] ?? ''];
installPlatform(mistake && ((url, source) => plant(mistake, url, source)));
const { main } = await import('./cli.ts');
process.exitCode = await main(process.argv.slice(2));
