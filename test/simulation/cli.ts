/** What `npm run simulate` does: many seeds on all cores, or one seed as a timeline. */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { drawHistory, type Fleets, type History } from './history.ts';
import { realMs } from './platform/globals.ts';
import { type Played, play } from './play.ts';
import { shrink } from './shrink.ts';

const DAY_MS = 86_400_000;
const UNITS_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: DAY_MS };

/** What a child process tells of one seed. */
interface Line extends Pick<Played, 'hash' | 'simulatedMs' | 'calls' | 'events'> {
  readonly seed: number;
  readonly violated: string | undefined;
  readonly detail: string | undefined;
  readonly excuses: readonly (readonly [why: string, times: number])[];
}

/** What the processes with a share of the seeds are told. */
interface ForAll {
  readonly plant: string | undefined;
  readonly fleets: Fleets;
}

/** @returns the exit code: 1 after a violation @throws Error that says which flag is wrong, and what it must be */
export async function main(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...{ seed: { type: 'string' }, seeds: { type: 'string' }, until: { type: 'string' }, plant: { type: 'string' } },
      fleets: { type: 'string', default: 'some' },
      ...{ trace: { type: 'boolean', default: false }, child: { type: 'boolean', default: false } },
    },
  });
  refuse('--seed', values.seed, /^\d+$/, 'a number');
  refuse('--seeds', values.seeds, /^\d+(-\d+)?$/, 'a number of seeds, or A-B');
  refuse('--until', values.until, /^\d+[smhd]?$/, 'a time such as 90m');
  refuse('--fleets', values.fleets, /^(some|all|none)$/, 'some, all or none');
  const [first, last] = rangeOf(values.seeds ?? '100');
  if (last < first) throw new Error(`--seeds ${values.seeds}: there is no seed from ${first} to ${last}`);
  // Loads everything that is loaded on first use: a history must not depend on what was played before it.
  if (values.child || values.seed) await warmUp();
  const fleets = values.fleets as Fleets;
  if (values.child) return playSeeds(first, last, fleets);
  if (values.seed)
    return playOne(drawHistory(Number(values.seed), fleets), { trace: values.trace, until: untilMs(values.until) });
  return playOnAllCores([first, last], { plant: values.plant, fleets });
}

/** What is not understood must not look like a history without a violation. */
function refuse(flag: string, value: string | undefined, right: RegExp, what: string): void {
  if (value !== undefined && !right.test(value)) throw new Error(`${flag} ${value}: must be ${what}`);
}

function rangeOf(text: string): [first: number, last: number] {
  const [first = 1, last] = text.split('-').map(Number);
  return last === undefined ? [1, first] : [first, last];
}

function untilMs(text = `${DAY_MS}d`): number {
  const [, count, unit = 'd'] = /^(\d+)([smhd])?$/.exec(text) ?? [];
  return Number(count) * (UNITS_MS[unit] ?? DAY_MS);
}

async function warmUp(): Promise<void> {
  await play(drawHistory(0, 'none'));
  await play(drawHistory(0, 'all'));
}

async function playSeeds(first: number, last: number, fleets: Fleets): Promise<number> {
  // Nobody reads them here: who explains a violation plays its history again.
  Error.stackTraceLimit = 0;
  for (let seed = first; seed <= last; seed += 1) {
    const { hash, simulatedMs, calls, events, violation, excuses } = await play(drawHistory(seed, fleets));
    const line: Line = {
      seed,
      hash,
      simulatedMs,
      calls,
      events,
      violated: violation?.name,
      detail: violation?.detail,
      excuses: [...excuses],
    };
    print(JSON.stringify(line));
  }
  return 0;
}

async function playOne(history: History, { trace, until }: { trace: boolean; until: number }): Promise<number> {
  const played = await play(history, { keepLines: trace, until });
  for (const line of played.lines) print(line);
  if (!trace && played.violation) await explain(history, played.violation.name);
  const days = Math.round(played.simulatedMs / DAY_MS);
  print(
    `seed ${history.seed}: ${days} days, ${played.calls} payments, ${played.events} events, trace ${played.hash.slice(0, 16)}`,
  );
  return played.violation ? 1 : 0;
}

/** A process that has played many is faster than a new one, and one that fails takes as many with it. */
const MOST_IN_A_CHILD = 250;
/** Runs with more seeds than this say how far they are. */
const EVERY = 500;

async function playOnAllCores([first, last]: readonly [number, number], options: ForAll): Promise<number> {
  const cores = availableParallelism();
  const all = last - first + 1;
  const share = Math.min(MOST_IN_A_CHILD, Math.ceil(all / cores));
  const began = realMs();
  const lines: Line[] = [];
  const failed: Line[] = [];
  const codes: number[] = [];
  const note = (line: Line) => {
    lines.push(line);
    // At once: whoever stops a long run must know what it has found.
    if (line.violated) print(`seed ${line.seed} violates ${line.violated}: ${line.detail}`);
    if (line.violated) failed.push(line);
    if (lines.length % EVERY === 0 && lines.length < all)
      process.stderr.write(`${lines.length} of ${all} seeds, ${failed.length} violations so far\n`);
  };
  let from = first;
  const playOn = async () => {
    while (from <= last) {
      const seeds = `${from}-${Math.min(last, from + share - 1)}`;
      from += share;
      codes.push(await playInChild(seeds, options, note));
    }
  };
  await Promise.all(Array.from({ length: cores }, playOn));
  report(lines, (realMs() - began) / 1000);
  await explainFirst(failed, options.fleets);
  return failed.length > 0 || codes.some((code) => code !== 0) ? 1 : 0;
}

async function explainFirst(failed: readonly Line[], fleets: Fleets): Promise<void> {
  const [one] = failed.toSorted((a, b) => a.seed - b.seed);
  if (!one) return;
  await warmUp();
  await explain(drawHistory(one.seed, fleets), one.violated ?? '');
}

/** @param seeds `A-B` @returns its exit code */
function playInChild(seeds: string, { plant, fleets }: ForAll, onLine: (line: Line) => void): Promise<number> {
  const main = fileURLToPath(new URL('main.ts', import.meta.url));
  const options = [main, '--child', '--seeds', seeds, '--fleets', fleets, ...(plant ? ['--plant', plant] : [])];
  const child = spawn(process.execPath, options, { stdio: ['ignore', 'pipe', 'inherit'] });
  createInterface({ input: child.stdout }).on('line', (line) => onLine(JSON.parse(line) as Line));
  return new Promise((resolve) => child.once('close', (code) => resolve(code ?? 1)));
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

/** Prints the smallest history that fails in the same way. */
async function explain(history: History, name: string): Promise<void> {
  const smallest = await shrink(history, name);
  const { lines, violation } = await play(smallest, { keepLines: true });
  print(`\nThe smallest history of seed ${history.seed} that fails, with tokens of ${history.tokenLifetimeS} s:`);
  for (const line of lines) print(line);
  print(`\n${violation?.message}\n`);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
