/**
 * Interleaved rounds: in each, every lane has its turn, in an order drawn anew, so that what the machine does meanwhile
 * hits all alike. A round with a single error is kept, with its error, and counts as invalid.
 */
import type { Lane, Lanes, World } from './lanes.ts';
import type { LoadJob, LoadResult } from './load/job.ts';
import type { Running } from './subjects/subject.ts';
import type { Workload } from './workloads/workload.ts';

export interface Round {
  readonly workload: string;
  /** Name of the subject, with its set-up where a workload has several. */
  readonly lane: string;
  /** From 0. */
  readonly round: number;
  readonly result: LoadResult;
  /** By the subject while measured, where it fetches tokens. */
  readonly tokenRequests: number;
}

export interface Pace {
  readonly rounds: number;
  readonly warmMs: number;
  readonly measureMs: number;
}

export async function runRounds(
  world: World,
  lanes: Lanes,
  { workload, over }: { readonly workload: Workload; readonly over: readonly Lane[] },
  pace: Pace,
): Promise<Round[]> {
  const done: Round[] = [];
  for (let round = 0; round < pace.rounds; round += 1) {
    for (const lane of shuffled(over)) {
      const before = await world.upstream.tokenRequests();
      const result = await runOne(world, lanes, { workload, lane }, pace);
      const tokenRequests = (await world.upstream.tokenRequests()) - before;
      done.push({ workload: workload.name, lane: laneName(workload, lane), round, result, tokenRequests });
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
): Promise<LoadResult> {
  const running = await (workload.fresh ? lanes.fresh(lane) : lanes.get(lane));
  try {
    return await world.generator.run(jobFor(workload, running, pace));
  } finally {
    if (workload.fresh) await running.stop();
  }
}

/** Time for one answer of any size. */
const ONCE_MS = 60_000;

function jobFor({ job, longer = 1 }: Workload, { port, pids, authorization }: Running, pace: Pace): LoadJob {
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
