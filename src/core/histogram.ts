/**
 * A Prometheus histogram for every request: recording is one addition to an array, all other work happens at a scrape.
 * prom-client's own histogram costs ten times as much.
 */
import type { SpanIds } from './tracing.ts';

export interface HistogramOptions {
  readonly name: string;
  readonly help: string;
  /** The only label. */
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
    readonly exemplar?: Exemplar | undefined;
  }[];
}

/** A recorded call as an example of a bucket; shown only in OpenMetrics. */
interface Exemplar {
  readonly labelSet: { readonly trace_id: string; readonly span_id: string };
  readonly value: number;
  /** Unix time, s. */
  readonly timestamp: number;
}

export interface Histogram {
  read(): HistogramReading;
  /** Returns the function that records durations in seconds under this label value. */
  series(value: string): (seconds: number, span?: SpanIds) => void;
}

interface Series {
  readonly value: string;
  /** Count per bucket; the last one counts what is above all bounds. */
  readonly counts: Float64Array;
  /** The last one of each bucket. */
  readonly exemplars: (Exemplar | undefined)[];
  sum: number;
}

/** Creates an empty histogram; `read` returns its samples for prom-client. */
export function createHistogram({ name, help, label, buckets }: HistogramOptions): Histogram {
  const all = new Map<string, Series>();
  return {
    read: () => ({
      ...{ name, help, type: 'histogram' },
      values: [...all.values()].flatMap((series) => samplesOf(series, { name, label, buckets })),
    }),
    series(value) {
      const series = all.get(value) ?? { value, counts: new Float64Array(buckets.length + 1), exemplars: [], sum: 0 };
      all.set(value, series);
      return (seconds, span) => {
        let at = 0;
        while (at < buckets.length && seconds > (buckets[at] ?? 0)) at += 1;
        series.counts[at] = (series.counts[at] ?? 0) + 1;
        series.sum += seconds;
        if (span) series.exemplars[at] = exemplarOf(span, seconds);
      };
    },
  };
}

function exemplarOf({ traceId, spanId }: SpanIds, value: number): Exemplar {
  return { labelSet: { trace_id: traceId, span_id: spanId }, value, timestamp: Date.now() / 1000 };
}

/** Prometheus reads cumulative buckets. */
function samplesOf(series: Series, { name, label, buckets }: Omit<HistogramOptions, 'help'>) {
  let count = 0;
  const own = { [label]: series.value };
  const cumulative = [...series.counts].map((part, index) => {
    count += part;
    const labels = { le: buckets[index] ?? '+Inf', ...own };
    return { metricName: `${name}_bucket`, labels, value: count, exemplar: series.exemplars[index] };
  });
  return [
    ...cumulative,
    { metricName: `${name}_sum`, labels: own, value: series.sum },
    { metricName: `${name}_count`, labels: own, value: count },
  ];
}
