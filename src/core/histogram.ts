/**
 * A Prometheus histogram for what happens at every request: recording is one addition to an array, and everything else
 * is left to the few moments when somebody asks. prom-client's own costs ten times that.
 */
import type { Histogram } from 'prom-client';

export interface LatenciesOptions {
  readonly name: string;
  readonly help: string;
  /** The one label there is. */
  readonly label: string;
  /** Upper bounds, ascending, in seconds. */
  readonly buckets: readonly number[];
}

export interface Latencies {
  /** To be registered. */
  readonly metric: Histogram;
  /** What records durations in seconds under this value of the label. */
  series(value: string): (seconds: number) => void;
}

interface Series {
  readonly value: string;
  /** How many fell into each bucket, and last beyond all of them. */
  readonly counts: Float64Array;
  sum: number;
}

export function createLatencies({ name, help, label, buckets }: LatenciesOptions): Latencies {
  const all = new Map<string, Series>();
  const family = () => ({
    ...{ name, help, type: 'histogram', aggregator: 'sum' },
    values: [...all.values()].flatMap((series) => samplesOf(series, { name, label, buckets })),
  });
  return {
    // All that a registry asks of a metric.
    metric: { name, help, get: async () => family() } as unknown as Histogram,
    series(value) {
      const series = all.get(value) ?? { value, counts: new Float64Array(buckets.length + 1), sum: 0 };
      all.set(value, series);
      return (seconds) => {
        let at = 0;
        while (at < buckets.length && seconds > (buckets[at] ?? 0)) at += 1;
        series.counts[at] = (series.counts[at] ?? 0) + 1;
        series.sum += seconds;
      };
    },
  };
}

/** Buckets are cumulative in what Prometheus reads. */
function samplesOf(series: Series, { name, label, buckets }: Omit<LatenciesOptions, 'help'>) {
  let count = 0;
  const own = { [label]: series.value };
  const cumulative = [...series.counts].map((part, index) => {
    count += part;
    return { metricName: `${name}_bucket`, labels: { le: buckets[index] ?? '+Inf', ...own }, value: count };
  });
  return [
    ...cumulative,
    { metricName: `${name}_sum`, labels: own, value: series.sum },
    { metricName: `${name}_count`, labels: own, value: count },
  ];
}
