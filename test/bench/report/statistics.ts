/** Median and quartiles, and the interval that holds a ratio. */

export interface Spread {
  readonly median: number;
  /** First and third quartile. */
  readonly low: number;
  readonly high: number;
  readonly count: number;
}

/** Returns undefined without values. Interpolates quantiles between two values (type 7, as most programs do). */
export function spreadOf(values: readonly number[]): Spread | undefined {
  if (values.length === 0) return undefined;
  const sorted = sort(values);
  const at = (share: number) => {
    const place = (sorted.length - 1) * share;
    const below = sorted[Math.floor(place)] ?? 0;
    return below + ((sorted[Math.ceil(place)] ?? 0) - below) * (place - Math.floor(place));
  };
  return { median: at(0.5), low: at(0.25), high: at(0.75), count: sorted.length };
}

/** What lies outside of an interval, on each side. */
const TAIL = 0.025;

/**
 * Returns the Hodges-Lehmann estimate of paired ratios and its 95 % interval (Wilcoxon's signed ranks, of logarithms). Exact
 * however the ratios are spread, as long as either program is as likely to meet a busy moment; a few wild rounds widen it
 * little. Undefined for fewer than six ratios: they cannot give 95 %.
 */
export function intervalOf(ratios: readonly number[]): Spread | undefined {
  const outside = countOutside(ratios.length);
  if (outside === 0) return undefined;
  const logs = ratios.map(Math.log);
  const means = sort(logs.flatMap((one, index) => logs.slice(index).map((other) => (one + other) / 2)));
  const [low = 0, high = 0] = [means[outside - 1], means.at(-outside)].map((mean) => Math.exp(mean ?? 0));
  return { median: Math.exp(spreadOf(means)?.median ?? 0), low, high, count: ratios.length };
}

/** Returns how many rank sums from the smallest on are together at most as probable as the tail. */
function countOutside(count: number): number {
  const sums = Array.from({ length: (count * (count + 1)) / 2 + 1 }, (_, sum) => Number(sum === 0));
  // How many subsets of the ranks up to this one have each sum.
  for (let rank = 1; rank <= count; rank += 1) {
    for (let sum = sums.length - 1; sum >= rank; sum -= 1) sums[sum] = (sums[sum] ?? 0) + (sums[sum - rank] ?? 0);
  }
  let subsets = 0;
  return sums.findIndex((some) => {
    subsets += some;
    return subsets > TAIL * 2 ** count;
  });
}

function sort(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b);
}
