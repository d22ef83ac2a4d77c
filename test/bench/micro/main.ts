/**
 * Measures single steps of the hot path, in nanoseconds per call, in interleaved rounds like the bench. The cost of a step
 * shows where to look; only the bench shows whether it matters.
 */
import { spreadOf } from '../report/statistics.ts';
import { number, renderTable } from '../report/table.ts';
import { type Case, createCases } from './cases.ts';

const ROUNDS = 15;
/** Time for each case in each round. */
const ROUND_MS = 60;
/** Calls between two readings of the clock. */
const BATCH = 1000;

let kept: unknown;

/** Returns ns per call. */
function measure({ run }: Case, forMs: number): number {
  const startedAt = performance.now();
  let calls = 0;
  let elapsed: number;
  do {
    for (let call = 0; call < BATCH; call += 1) kept = run();
    calls += BATCH;
    elapsed = performance.now() - startedAt;
  } while (elapsed < forMs);
  return (elapsed * 1e6) / calls;
}

const wanted = process.argv[2] ?? '';
const cases = (await createCases()).filter(({ name }) => name.startsWith('control') || name.includes(wanted));
// Warm-up: V8 compiles in the first rounds.
for (const one of cases) measure(one, ROUND_MS * 3);
const times = new Map<string, number[]>(cases.map(({ name }) => [name, []]));
for (let round = 0; round < ROUNDS; round += 1) {
  for (const one of cases) times.get(one.name)?.push(measure(one, ROUND_MS));
}
const rows = [...times].map(([name, values]) => {
  const spread = spreadOf(values);
  return [name, number(spread?.median), `${number(spread?.low)}–${number(spread?.high)}`];
});
process.stdout.write(renderTable(['step', 'ns/call', 'quartiles'], rows));
if (kept === undefined) process.exitCode = 1;
process.exit();
