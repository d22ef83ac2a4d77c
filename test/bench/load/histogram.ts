/** Latencies as counts in buckets 2 % wide: small enough for the report, so that every quantile can be computed later. */

const WIDTH = Math.log(1.02);

/** Bucket number and count, in ascending order; bucket n ends at 1.02^n µs. */
export type Histogram = readonly (readonly [bucket: number, count: number])[];

export interface Recorder {
  /** @param ms a latency */
  record(ms: number): void;
  histogram(): Histogram;
}

export function createRecorder(): Recorder {
  const counts = new Map<number, number>();
  return {
    record(ms) {
      const bucket = Math.max(0, Math.ceil(Math.log(ms * 1000) / WIDTH));
      counts.set(bucket, (counts.get(bucket) ?? 0) + 1);
    },
    histogram: () => [...counts].sort(([a], [b]) => a - b),
  };
}

export function countOf(histogram: Histogram): number {
  return histogram.reduce((sum, [, count]) => sum + count, 0);
}

/** @param share in (0, 1] @returns ms, at most 2 % too high; undefined of nothing */
export function quantileMs(histogram: Histogram, share: number): number | undefined {
  const rank = Math.ceil(countOf(histogram) * share);
  let seen = 0;
  for (const [bucket, count] of histogram) {
    seen += count;
    if (seen >= rank) return Math.exp(bucket * WIDTH) / 1000;
  }
  return undefined;
}
