/** Shares seeds among a process for each core, and tells what they find. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Fleets } from './history.ts';
import { realMs } from './platform/globals.ts';
import type { Line } from './seeds.ts';

const DAY_MS = 86_400_000;

/** What the processes are told. */
interface ForAll {
  readonly plant: string | undefined;
  readonly fleets: Fleets;
  /** Replaces what they run, for tests. */
  readonly program?: string;
}

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url));

/** A process that has played many is faster than a new one, and has more memory. */
const MOST_IN_A_CHILD = 250;
/** Seeds that a process has at once: it never waits for the next. */
const AHEAD = 2;
/** Runs with more seeds than this say how far they are. */
const EVERY = 100;
/** Seeds in a row that cannot be played: then no process can even start. */
const MOST_FAILURES = 10;

/** @returns the exit code: 1 after a violation, or when a process has failed */
export async function playOnAllCores([first, last]: readonly [number, number], options: ForAll): Promise<number> {
  const all = last - first + 1;
  const began = realMs();
  const lines: Line[] = [];
  const failed: Line[] = [];
  /** Given to a process that has failed before it played them. */
  const again: number[] = [];
  let failures = 0;
  const note = (line: Line) => {
    failures = 0;
    lines.push(line);
    // At once: whoever stops a long run must know what it has found.
    if (line.violated) print(`seed ${line.seed} violates ${line.violated}: ${line.detail}`);
    if (line.violated) failed.push(line);
    if (lines.length % EVERY === 0 && lines.length < all)
      process.stderr.write(`${lines.length} of ${all} seeds, ${failed.length} violations so far\n`);
  };
  let next = first;
  const take = () => again.shift() ?? (next <= last ? next++ : undefined);
  const playOn = async () => {
    while (failures < MOST_FAILURES && (next <= last || again.length > 0)) {
      const { ended, open } = await playInChild(options, take, note);
      const [culprit, ...others] = open;
      again.push(...others);
      if (culprit === undefined) continue;
      failures += 1;
      print(
        `seed ${culprit} could not be played, its process ended with ${ended}: npm run simulate -- --seed ${culprit} shows why`,
      );
    }
  };
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), all) }, playOn));
  report(lines, (realMs() - began) / 1000);
  const [one] = failed.toSorted((a, b) => a.seed - b.seed);
  if (one) {
    const { explainSeed } = await import('./seeds.ts');
    await explainSeed(one.seed, one.violated ?? '', options.fleets);
  }
  return failed.length > 0 || lines.length < all ? 1 : 0;
}

/** Gives one process seeds until there are none, or it has played enough. @returns those it has not played, first the one it failed on */
async function playInChild(
  { plant, fleets, program = MAIN }: ForAll,
  take: () => number | undefined,
  note: (line: Line) => void,
): Promise<{ readonly ended: string; readonly open: readonly number[] }> {
  const options = [program, '--child', '--fleets', fleets, ...(plant ? ['--plant', plant] : [])];
  const child = spawn(process.execPath, options, { stdio: ['pipe', 'pipe', 'inherit'] });
  // Of one that has ended; its exit code tells.
  child.stdin.on('error', () => undefined);
  const open: number[] = [];
  let given = 0;
  const give = () => {
    if (child.stdin.writableEnded) return;
    const seed = given < MOST_IN_A_CHILD ? take() : undefined;
    given += 1;
    if (seed === undefined) return void child.stdin.end();
    open.push(seed);
    child.stdin.write(`${seed}\n`);
  };
  for (let count = 0; count < AHEAD; count += 1) give();
  const output = createInterface({ input: child.stdout }).on('line', (line) => {
    open.shift();
    note(JSON.parse(line) as Line);
    give();
  });
  const [[code, signal]] = await Promise.all([once(child, 'close'), once(output, 'close')]);
  return { ended: String(code ?? signal), open };
}

function report(lines: readonly Line[], seconds: number): void {
  const sum = (value: (line: Line) => number) => lines.reduce((total, line) => total + value(line), 0);
  const days = sum(({ simulatedMs }) => simulatedMs) / DAY_MS;
  const rates = `${(lines.length / seconds).toFixed(1)} seeds and ${Math.round(days / seconds)} simulated days per second`;
  const counts = `${sum(({ calls }) => calls)} payments, ${sum(({ events }) => events)} events`;
  for (const [why, all] of Map.groupBy(
    lines.flatMap(({ excuses }) => excuses),
    ([name]) => name,
  ))
    print(`excused ${all.reduce((times, [, more]) => times + more, 0)} times in ${all.length} seeds: ${why}`);
  print(`${lines.length} seeds, ${Math.round(days)} days, ${counts} in ${seconds.toFixed(1)} s: ${rates}`);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
