/** From rounds to figures: each round gives one value of each measure; the valid rounds give median and quartiles. */
import { quantileMs } from '../load/histogram.ts';
import type { LoadResult } from '../load/job.ts';
import type { Round } from '../rounds.ts';
import { type Spread, spreadOf } from './statistics.ts';

const MIB = 1024 * 1024;

/** One value of a round; undefined if the round has none. */
const MEASURES = {
  cpuUs: ({ cpuSeconds, requests }: LoadResult) => (cpuSeconds > 0 ? (cpuSeconds / requests) * 1e6 : undefined),
  perSecond: ({ requests, seconds }: LoadResult) => requests / seconds,
  p50Ms: ({ histogram }: LoadResult) => quantileMs(histogram, 0.5),
  p99Ms: ({ histogram }: LoadResult) => quantileMs(histogram, 0.99),
  p999Ms: ({ histogram }: LoadResult) => quantileMs(histogram, 0.999),
  mibPerSecond: ({ bytes, seconds }: LoadResult) => bytes / MIB / seconds,
  grownMiB: ({ peakResidentBytes, residentBytesBefore }: LoadResult) =>
    peakResidentBytes > 0 ? (peakResidentBytes - residentBytesBefore) / MIB : undefined,
  /** Load of generator and upstream, as a share of one core. */
  measuringShare: ({ measuringCpuSeconds, seconds }: LoadResult) => measuringCpuSeconds / seconds,
} as const satisfies Record<string, (result: LoadResult) => number | undefined>;

export type Measure = keyof typeof MEASURES;

export interface Figures {
  readonly workload: string;
  readonly lane: string;
  readonly values: { readonly [measure in Measure]?: Spread };
  readonly validRounds: number;
  readonly invalidRounds: number;
}

/** Returns figures for each lane of each workload, in order of first appearance. */
export function figuresOf(rounds: readonly Round[]): Figures[] {
  const groups = Map.groupBy(rounds, ({ workload, lane }) => `${workload}\n${lane}`);
  return [...groups.values()].map((group) => {
    const results = group.filter(isValid).flatMap(({ result }) => result ?? []);
    const values = Object.entries(MEASURES).flatMap(([name, measure]) => {
      const spread = spreadOf(results.map(measure).filter((value) => value !== undefined));
      return spread === undefined ? [] : [[name, spread] as const];
    });
    const { workload = '', lane = '' } = group[0] ?? {};
    const counts = { validRounds: results.length, invalidRounds: group.length - results.length };
    return { workload, lane, values: Object.fromEntries(values) as Figures['values'], ...counts };
  });
}

/** One error makes the figures of a round worthless: an error is a cheap response. */
export function isValid({ result }: Round): boolean {
  return result !== undefined && result.requests > 0 && Object.keys(result.errors).length === 0;
}

/** Returns the value of one lane divided by that of another in the same round, over rounds in which both are valid. */
export function pairedRatio(
  rounds: readonly Round[],
  { workload, measure }: { readonly workload: string; readonly measure: Measure },
  lane: string,
  by: string,
): Spread | undefined {
  const valueIn = (name: string, round: number) => {
    const found = rounds.find((one) => one.workload === workload && one.lane === name && one.round === round);
    return found?.result && isValid(found) ? MEASURES[measure](found.result) : undefined;
  };
  const numbers = [...new Set(rounds.map(({ round }) => round))].flatMap((round) => {
    const [above, below] = [valueIn(lane, round), valueIn(by, round)];
    return above !== undefined && below ? [above / below] : [];
  });
  return spreadOf(numbers);
}
