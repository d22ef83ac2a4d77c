/** Plays seeds in this process: many for another process, or one for a person. */
import { createInterface } from 'node:readline';
import { drawHistory, type Fleets, type History } from './history.ts';
import { type Played, play } from './play.ts';
import { readable } from './readable.ts';
import { shrink } from './shrink.ts';

const DAY_MS = 86_400_000;

/** What a child process tells of one seed. */
export interface Line extends Pick<Played, 'hash' | 'simulatedMs' | 'calls' | 'events'> {
  readonly seed: number;
  readonly violated: string | undefined;
  readonly detail: string | undefined;
  readonly excuses: readonly (readonly [why: string, times: number])[];
}

/** Loads everything that is loaded on first use: a history must not depend on what was played before it. */
export async function warmUp(): Promise<void> {
  await play(drawHistory(0, 'none'), { until: FIRST_MS });
  await play(drawHistory(0, 'all'), { until: FIRST_MS });
}

/** What is loaded at all is loaded by then. */
const FIRST_MS = 300_000;

/** @param range the seeds; undefined: standard input has one in each line */
export async function playSeeds(range: readonly [number, number] | undefined, fleets: Fleets): Promise<number> {
  // Nobody reads them here: who explains a violation plays its history again.
  Error.stackTraceLimit = 0;
  for await (const seed of range ? allOf(range) : asked()) {
    const { hash, simulatedMs, calls, events, violation, excuses } = await play(drawHistory(seed, fleets));
    const line: Line = {
      ...{ seed, hash, simulatedMs, calls, events },
      ...{ violated: violation?.name, detail: violation && readable(violation.detail), excuses: [...excuses] },
    };
    print(JSON.stringify(line));
  }
  return 0;
}

function* allOf([first, last]: readonly [number, number]): Generator<number> {
  for (let seed = first; seed <= last; seed += 1) yield seed;
}

async function* asked(): AsyncGenerator<number> {
  for await (const line of createInterface({ input: process.stdin })) yield Number(line);
}

interface PlayOneOptions {
  readonly fleets: Fleets;
  readonly trace: boolean;
  readonly until: number;
}

/** Tells what happens, or of a violation its smallest history. @returns the exit code */
export async function playOne(seed: number, { fleets, trace, until }: PlayOneOptions): Promise<number> {
  const history = drawHistory(seed, fleets);
  const played = await play(history, { keepLines: trace, until });
  for (const line of played.lines) print(line);
  if (!trace && played.violation) await explain(history, played.violation.name);
  const days = Math.round(played.simulatedMs / DAY_MS);
  print(
    `seed ${history.seed}: ${days} days, ${played.calls} payments, ${played.events} events, trace ${played.hash.slice(0, 16)}`,
  );
  return played.violation ? 1 : 0;
}

/** Prints the smallest history of a seed that fails. @param name of the invariant */
export async function explainSeed(seed: number, name: string, fleets: Fleets): Promise<void> {
  await warmUp();
  await explain(drawHistory(seed, fleets), name);
}

/** Prints the smallest history that fails in the same way. */
async function explain(history: History, name: string): Promise<void> {
  const smallest = await shrink(history, name);
  const { lines, violation } = await play(smallest, { keepLines: true });
  print(`\nThe smallest history of seed ${history.seed} that fails, with tokens of ${history.tokenLifetimeS} s:`);
  for (const line of lines) print(line);
  print(`\n${readable(violation?.message ?? '')}\n`);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
