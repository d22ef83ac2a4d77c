/**
 * Compares this tree with another, as a guard. Every round starts both anew: a process keeps for its whole life what the
 * compiler decided in its first seconds, so rounds of one process do not show by how much two of one build differ.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { createLanes, type Lane, type World } from './lanes.ts';
import { cpuSeconds, residentBytes } from './load/processes.ts';
import type { Options } from './options.ts';
import { compareReadings, type Reading } from './report/comparison.ts';
import { figuresOf } from './report/figures.ts';
import type { Findings } from './report/report.ts';
import { type Round, runRounds } from './rounds.ts';
import { SIDECAR, sidecarFrom } from './subjects/sidecar.ts';
import type { Running } from './subjects/subject.ts';
import { PLAIN, type Workload } from './workloads/workload.ts';

/** What is still undecided is measured in more rounds, up to this many times as many. */
const MOST_TIMES = 3;
/** Each measurement is cut into so many, in turns: the shorter a turn, the more alike what else the machine does in both. */
const TURNS = 5;
/** Time to collect the garbage of a start. */
const SETTLE_MS = 1000;
const MIB = 1024 ** 2;

/**
 * Returns the main.js of a build, or of a checkout, which it builds first.
 * @param out folder for that build
 * @throws Error when the folder is neither, or does not build
 */
export function programOf(folder: string, out: string): string {
  const built = resolve(folder, 'main.js');
  if (existsSync(built)) return built;
  if (!existsSync(resolve(folder, 'package.json')) || !existsSync(resolve(folder, 'src'))) {
    throw new Error(`${folder} is neither a build (with main.js) nor a checkout (with package.json and src).`);
  }
  const { status } = spawnSync('npm', ['run', '--silent', 'build', '--', out], {
    cwd: resolve(folder),
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (status !== 0) throw new Error(`${folder} does not build. Run npm ci there first.`);
  return join(out, 'main.js');
}

/**
 * Measures the workloads on this tree and on the program of another; also `start` and `memory`, if the options name them.
 */
export async function runComparison(
  world: World,
  program: string,
  workloads: readonly Workload[],
  options: Options,
): Promise<Findings> {
  const lanes = [SIDECAR, sidecarFrom(program)].map((subject) => ({ subject, variant: PLAIN }));
  const rounds: Round[] = [];
  const starts: Reading[] = [];
  const compare = () => compareReadings([...readingsOf(rounds), ...starts]);
  let left = workloads;
  for (let round = 0; round < MOST_TIMES * options.rounds; round += 1) {
    if (round > 0 && round % options.rounds === 0) {
      const open = compare().filter(({ verdict }) => verdict === 'undecided');
      if (open.length === 0 || options.smoke) break;
      left = workloads.filter(({ name }) => open.some(({ workload }) => workload === name));
    }
    process.stderr.write(`${new Date().toISOString().slice(11, 19)} round ${round + 1}\n`);
    const order = round % 2 === 0 ? lanes : lanes.toReversed();
    const done = await runRound(world, { lanes: order, workloads: left, round }, options);
    rounds.push(...done.rounds);
    starts.push(...done.starts.filter(({ workload }) => options.workloads?.includes(workload) ?? true));
  }
  return { rounds, comparison: compare(), sparse: [], idle: [], cold: [], memory: [], starts: [] };
}

interface RoundPlan {
  readonly lanes: readonly Lane[];
  readonly workloads: readonly Workload[];
  readonly round: number;
}

async function runRound(
  world: World,
  { lanes, workloads, round }: RoundPlan,
  { smoke, seconds }: Options,
): Promise<{ readonly rounds: Round[]; readonly starts: Reading[] }> {
  const starts: Reading[] = [];
  const running = createLanes(world, async ({ subject }, started) => {
    if (!smoke) await pause(SETTLE_MS);
    starts.push(...readStart(started).map((one) => ({ ...one, lane: subject.name, round })));
  });
  const rounds: Round[] = [];
  try {
    for (const lane of lanes) {
      if (workloads.length > 0) await running.get(lane);
      else await (await running.fresh(lane)).stop();
    }
    const pace = smoke
      ? { rounds: 1, warmMs: 20, measureMs: seconds * 1000 }
      : { rounds: TURNS, warmMs: 100, measureMs: (seconds * 1000) / TURNS };
    for (const workload of workloads) {
      const done = await runRounds(world, running, { workload, lanes }, pace);
      rounds.push(...done.map((one) => ({ ...one, round })));
    }
  } finally {
    await running.close();
  }
  return { rounds, starts };
}

function readStart({ readyMs = Number.NaN, pids }: Running): Pick<Reading, 'workload' | 'measure' | 'value'>[] {
  return [
    { workload: 'start', measure: 'ms until ready', value: readyMs },
    { workload: 'start', measure: 'CPU ms', value: cpuSeconds(pids) * 1000 },
    { workload: 'memory', measure: 'idle, MiB', value: residentBytes(pids) / MIB },
  ];
}

/** The median over the valid turns of each round. */
function readingsOf(rounds: readonly Round[]): Reading[] {
  return [...Map.groupBy(rounds, ({ round }) => round)].flatMap(([round, turns]) =>
    figuresOf(turns).flatMap(({ workload, lane, values: { cpuUs } }) =>
      cpuUs ? [{ workload, lane, round, measure: 'CPU µs/request', value: cpuUs.median }] : [],
    ),
  );
}
