/** Whether this tree is slower than another, from readings of both in the same rounds. */
import type { LoadResult } from '../load/job.ts';
import { BEFORE, SIDECAR } from '../subjects/sidecar.ts';
import { intervalOf, type Spread, spreadOf } from './statistics.ts';

/** One value of one program in one round. */
export interface Reading {
  readonly workload: string;
  /** With its unit: `CPU µs/request`. */
  readonly measure: string;
  /** `sidecar` or `before`. */
  readonly lane: string;
  readonly round: number;
  readonly value: number;
}

export interface Compared {
  readonly workload: string;
  readonly measure: string;
  readonly own: Spread | undefined;
  readonly before: Spread | undefined;
  /** This tree divided by the other; `low` and `high` bound the 95 % interval. Undefined after too few rounds. */
  readonly ratio: Spread | undefined;
  readonly verdict: 'slower' | 'not slower' | 'undecided';
}

/** A tree that needs more than this is slower. */
const LIMIT = 1.03;

/** Returns one comparison for each measure, in order of first appearance. */
export function compareReadings(readings: readonly Reading[]): Compared[] {
  const groups = Map.groupBy(readings, ({ workload, measure }) => `${workload}\n${measure}`);
  return [...groups.values()].map((group) => {
    const { workload = '', measure = '' } = group[0] ?? {};
    const of = (name: string) => group.filter(({ lane }) => lane === name);
    const [own, before] = [of(SIDECAR.name), of(BEFORE)];
    const ratio = intervalOf(
      own.flatMap(({ round, value }) => {
        const other = before.find((one) => one.round === round)?.value;
        return other ? [value / other] : [];
      }),
    );
    const spread = (some: readonly Reading[]) => spreadOf(some.map(({ value }) => value));
    return { workload, measure, own: spread(own), before: spread(before), ratio, verdict: verdictOn(ratio) };
  });
}

/**
 * Whether nothing is slower, every response was right, and everything could be compared. A round without a response in time
 * is only left out: a busy machine causes it, too.
 */
export function passes(
  compared: readonly Compared[],
  rounds: readonly { readonly result: Pick<LoadResult, 'errors'> | undefined }[],
): boolean {
  return (
    rounds.every(({ result }) => result && Object.keys(result.errors).length === 0) &&
    compared.every(({ verdict, ratio }) => ratio !== undefined && verdict !== 'slower')
  );
}

function verdictOn(ratio: Spread | undefined): Compared['verdict'] {
  if (ratio && ratio.low > LIMIT) return 'slower';
  return ratio && ratio.high < LIMIT ? 'not slower' : 'undecided';
}
