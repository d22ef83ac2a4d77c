/**
 * Counts in plain numbers, which prom-client reads at a scrape: its own counters check and hash the labels at each
 * increment. Hides prom-client and uses only its documented interface.
 */
import {
  AggregatorRegistry,
  Counter,
  collectDefaultMetrics,
  Gauge,
  type Metric,
  Registry,
  type RegistryContentType,
} from 'prom-client';
import { createEventLoopLag, type EventLoopLag, type LagReading, systemLag } from './event-loop-lag.ts';
import { createHistogram, type Histogram, type HistogramReading } from './histogram.ts';

export type Labels = Readonly<Record<string, string>>;

/** Names are complete, with the prefix. */
interface FamilyOptions {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
}

export interface Series {
  value: number;
}

export interface Family {
  /** Returns the series with these labels; creates it with 0 and shows it from now on. */
  series(labels: Labels): Series;
  /** Removes all series; from now on a family without any shows none. */
  clear(): void;
}

export interface MetricRegistry {
  readonly contentType: { readonly text: string; readonly openMetrics: string };
  family(type: 'counter' | 'gauge', options: FamilyOptions): Family;
  /** Creates a histogram with exactly one label. @param buckets upper bounds, ascending, in seconds */
  histogram(options: FamilyOptions, buckets: readonly number[]): Histogram;
  /** Tell it of every request. */
  readonly eventLoopLag: Pick<EventLoopLag, 'isNoted' | 'noteRequest'>;
  /** Renders all metrics and prom-client's process metrics, as of now. */
  render(format: 'text' | 'openMetrics'): Promise<string>;
}

const CONTENT_TYPE: { readonly text: RegistryContentType; readonly openMetrics: RegistryContentType } = {
  text: Registry.PROMETHEUS_CONTENT_TYPE,
  openMetrics: Registry.OPENMETRICS_CONTENT_TYPE,
};

/** Creates an independent registry and starts collecting process metrics. */
export function createMetricRegistry(): MetricRegistry {
  const registry = new Registry();
  const histograms: Histogram[] = [];
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: NEVER_MS });
  const eventLoopLag = createEventLoopLag(systemLag());
  replaceLagGauges(registry, eventLoopLag);
  return {
    contentType: CONTENT_TYPE,
    eventLoopLag,
    family: (type, options) => createFamily(type, options, registry),
    histogram({ labels: [label = ''], ...options }, buckets) {
      const histogram = createHistogram({ ...options, label, buckets });
      histograms.push(histogram);
      return histogram;
    },
    render(format) {
      const reading = registry.getMetricsAsJSON();
      const own = histograms.map((histogram) => histogram.read());
      return reading.then((others) => renderReading(others, own, format));
    },
  };
}

/** Makes the event loop monitor of prom-client, which cannot be turned off, wake the process every 24 days. */
const NEVER_MS = 2 ** 31 - 1;

const LAG_HELP: Readonly<Record<keyof LagReading, string>> = {
  min: 'The minimum recorded event loop delay.',
  max: 'The maximum recorded event loop delay.',
  mean: 'The mean of the recorded event loop delays.',
  stddev: 'The standard deviation of the recorded event loop delays.',
  p50: 'The 50th percentile of the recorded event loop delays.',
  p90: 'The 90th percentile of the recorded event loop delays.',
  p99: 'The 99th percentile of the recorded event loop delays.',
};

/** Replaces the gauges of that monitor by our own of the same names. */
function replaceLagGauges(registry: Registry, lag: EventLoopLag): void {
  const measures = Object.keys(LAG_HELP) as (keyof LagReading)[];
  const gauges = measures.map((measure) => {
    const name = `nodejs_eventloop_lag_${measure}_seconds`;
    registry.removeSingleMetric(name);
    // The first one fills them all: reading starts the next measurement.
    const collect = measure === measures[0] ? { collect: () => fill() } : {};
    return [measure, new Gauge({ name, help: LAG_HELP[measure], registers: [registry], ...collect })] as const;
  });
  const fill = () => {
    const reading = lag.read();
    for (const [measure, gauge] of gauges) gauge.set(reading[measure]);
  };
}

interface Reading {
  readonly name: string;
  readonly type: unknown;
}

/**
 * Uses prom-client's aggregation of worker processes for a single process, where the sum of each sample is the sample.
 * OpenMetrics wants family names without `_total`, and a registry that renders it itself renames its counters for good.
 */
function renderReading(
  reading: readonly Reading[],
  histograms: readonly HistogramReading[],
  format: 'text' | 'openMetrics',
): Promise<string> {
  const bare = (metric: Reading) =>
    format === 'openMetrics' && metric.type === 'counter' ? metric.name.replace(/_total$/, '') : metric.name;
  const summed = reading.map((metric) => ({ ...metric, name: bare(metric), aggregator: 'sum' }));
  const registry = AggregatorRegistry.aggregate<RegistryContentType>([summed]);
  registry.setContentType(CONTENT_TYPE[format]);
  // Not aggregated, which would lose the exemplars; it asks a metric for nothing but its reading.
  for (const histogram of histograms)
    registry.registerMetric({ ...histogram, get: async () => histogram } as unknown as Metric);
  return registry.metrics();
}

function createFamily(type: 'counter' | 'gauge', { name, help, labels }: FamilyOptions, registry: Registry): Family {
  const all = new Map<string, Series & { readonly labels: Labels }>();
  let isCleared = false;
  const options = { name, help, labelNames: [...labels], registers: [registry] };
  if (type === 'counter') {
    const collect = function (this: Counter) {
      this.reset();
      for (const series of all.values()) this.inc(series.labels, series.value);
    };
    new Counter({ ...options, collect });
  } else {
    const collect = function (this: Gauge) {
      this.reset();
      // Without labels, prom-client has reset it to 0, which would be a value.
      if (isCleared && all.size === 0) this.remove({});
      for (const series of all.values()) this.set(series.labels, series.value);
    };
    new Gauge({ ...options, collect });
  }
  return {
    series(own) {
      const id = JSON.stringify(own);
      const series = all.get(id) ?? { labels: own, value: 0 };
      all.set(id, series);
      return series;
    },
    clear() {
      all.clear();
      isCleared = true;
    },
  };
}
