/**
 * Interleaved rounds: each lane has its turn in every round, in a new random order, so that other load on the machine affects
 * all lanes alike. A round with an error is kept, with its error, and is invalid.
 */
import type { Lane, Lanes, World } from './lanes.ts';
import type { LoadJob, LoadResult } from './load/job.ts';
import type { Running } from './subjects/subject.ts';
import type { Workload } from './workloads/workload.ts';

export interface Round {
  readonly workload: string;
  /** Name of the subject, with its set-up if a workload has several. */
  readonly lane: string;
  /** From 0. */
  readonly round: number;
  /** Undefined if the subject did not start or took no request; `failure` has the reason. */
  readonly result: LoadResult | undefined;
  readonly failure?: string;
  /** Token requests of all subjects during this measurement. */
  readonly tokenRequests: number;
}

export interface Pace {
  readonly rounds: number;
  readonly warmMs: number;
  readonly measureMs: number;
}

/** A workload and its lanes. */
export interface Contest {
  readonly workload: Workload;
  readonly lanes: readonly Lane[];
}

export async function runRounds(world: World, running: Lanes, contest: Contest, pace: Pace): Promise<Round[]> {
  const { workload, lanes } = contest;
  const done: Round[] = [];
  for (let round = 0; round < pace.rounds; round += 1) {
    for (const lane of shuffled(lanes)) {
      const name = { workload: workload.name, lane: laneName(workload, lane), round };
      try {
        done.push({ ...name, ...(await runOne(world, running, { workload, lane }, pace)) });
      } catch (error) {
        done.push({ ...name, result: undefined, failure: (error as Error).message, tokenRequests: 0 });
      }
    }
  }
  return done;
}

export function laneName({ variants }: Workload, { subject, variant }: Lane): string {
  return variants && variants.length > 1 ? `${subject.name}, ${variant.name}` : subject.name;
}

async function runOne(
  world: World,
  lanes: Lanes,
  { workload, lane }: { readonly workload: Workload; readonly lane: Lane },
  pace: Pace,
): Promise<Pick<Round, 'result' | 'tokenRequests'>> {
  const { upstream, generator } = world;
  const subject = await (workload.fresh ? lanes.fresh(lane) : lanes.get(lane));
  try {
    const before = await upstream.tokenRequests();
    const result = await generator.run({ ...jobFor(workload, subject, pace), measuringPids: [upstream.pid] });
    return { result, tokenRequests: (await upstream.tokenRequests()) - before };
  } finally {
    if (workload.fresh) await subject.stop();
  }
}

/** Time for one response of any size. */
const ONCE_MS = 60_000;

function jobFor(
  { job, longer = 1 }: Workload,
  { port, pids, authorization }: Running,
  pace: Pace,
): Omit<LoadJob, 'measuringPids'> {
  return {
    ...job,
    ...(authorization !== undefined && { authorization }),
    port,
    pids,
    warmMs: pace.warmMs,
    measureMs: job.shape === 'once' ? ONCE_MS : pace.measureMs * longer,
  };
}

function shuffled<Item>(items: readonly Item[]): Item[] {
  return items
    .map((item) => ({ item, place: Math.random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item);
}
