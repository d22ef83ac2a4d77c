/**
 * A Prometheus histogram for what happens at every request: recording is one addition to an array, and everything else
 * is left to the few moments when somebody asks. prom-client's own costs ten times that.
 */

export interface HistogramOptions {
  readonly name: string;
  readonly help: string;
  /** The one label there is. */
  readonly label: string;
  /** Upper bounds, ascending, in seconds. */
  readonly buckets: readonly number[];
}

/** A metric and all its samples, as prom-client's `getMetricsAsJSON()` returns each. */
export interface HistogramReading {
  readonly name: string;
  readonly help: string;
  readonly type: 'histogram';
  readonly values: readonly {
    readonly metricName: string;
    readonly labels: Readonly<Record<string, string | number>>;
    readonly value: number;
  }[];
}

export interface Histogram {
  read(): HistogramReading;
  /** What records durations in seconds under this value of the label. */
  series(value: string): (seconds: number) => void;
}

interface Series {
  readonly value: string;
  /** How many fell into each bucket, and last beyond all of them. */
  readonly counts: Float64Array;
  sum: number;
}

export function createHistogram({ name, help, label, buckets }: HistogramOptions): Histogram {
  const all = new Map<string, Series>();
  return {
    read: () => ({
      ...{ name, help, type: 'histogram' },
      values: [...all.values()].flatMap((series) => samplesOf(series, { name, label, buckets })),
    }),
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
function samplesOf(series: Series, { name, label, buckets }: Omit<HistogramOptions, 'help'>) {
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
