/**
 * `npm run simulate -- [--seed N | --seeds N | --seeds A-B] [--until MS] [--trace]`: plays histories, and prints the smallest one that
 * violates an invariant. The platform is in place before anything else is loaded.
 */
import { installPlatform } from './platform/hooks.ts';

installPlatform();
const { main } = await import('./cli.ts');
process.exitCode = await main(process.argv.slice(2));
