// The chaos test for as long as one likes: `npm run soak -- --seconds 300 --seed 1`. Ends by itself, 1 when a rule broke.
import { parseArgs } from 'node:util';
import { type SidecarTally, sidecarInChaos } from '../support/chaos-world.ts';

const MAX_GROWTH_BYTES = 64 * 1024 * 1024;
/** So many requests bring every buffer, pool and compiled function to its working size. */
const WARM_UP = 3000;

function broken(tally: SidecarTally): string[] {
  const rules: readonly (readonly [string, boolean])[] = [
    ['executed twice', tally.executedTwice.length > 0],
    ['told 2xx, not executed once', tally.lost.length > 0],
    ['told not executed, executed', tally.denied.length > 0],
    ['hung', tally.hung.length > 0],
    ['mangled', tally.mangled.length > 0],
    ['without exactly one token', tally.unauthorized.length > 0],
    ['requests left in flight', tally.inFlight !== 0],
    ['sockets left', tally.socketsAfter > tally.socketsBefore],
    ['memory grew', (tally.grownBytes ?? 0) > MAX_GROWTH_BYTES],
    ['exit code', tally.exitCode !== 0],
    ['standard error', tally.stderr !== ''],
  ];
  return rules.filter(([, isBroken]) => isBroken).map(([name]) => name);
}

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '300' }, seed: { type: 'string', default: String(Date.now() % 1e9) } },
});
const until = Date.now() + Number(values.seconds) * 1000;
process.stdout.write(`soak of ${values.seconds} s with --seed ${values.seed}\n`);
const tally = await sidecarInChaos({ seed: Number(values.seed), goesOn: () => Date.now() < until, warmUp: WARM_UP });
const rules = broken(tally);
process.stdout.write(
  `${JSON.stringify(tally, null, 2)}\n${rules.length === 0 ? 'all rules held' : `broken: ${rules}`}\n`,
);
process.exitCode = rules.length === 0 ? 0 : 1;
