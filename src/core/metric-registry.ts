/**
 * Counts in plain numbers, which prom-client reads at a scrape: its own counters check and hash the labels at each
 * increment. Hides prom-client and uses only its documented interface.
 */
import {
  AggregatorRegistry,
  Counter,
  collectDefaultMetrics,
  Gauge,
  Registry,
  type RegistryContentType,
} from 'prom-client';
import { createHistogram, type Histogram } from './histogram.ts';

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
  /** Removes all series. */
  clear(): void;
}

export interface MetricRegistry {
  readonly contentType: { readonly text: string; readonly openMetrics: string };
  family(type: 'counter' | 'gauge', options: FamilyOptions): Family;
  /** Creates a histogram with exactly one label. @param buckets upper bounds, ascending, in seconds */
  histogram(options: FamilyOptions, buckets: readonly number[]): Histogram;
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
  collectDefaultMetrics({ register: registry });
  return {
    contentType: CONTENT_TYPE,
    family: (type, options) => createFamily(type, options, registry),
    histogram({ labels: [label = ''], ...options }, buckets) {
      const histogram = createHistogram({ ...options, label, buckets });
      histograms.push(histogram);
      return histogram;
    },
    render(format) {
      const reading = registry.getMetricsAsJSON();
      const own = histograms.map((histogram) => histogram.read());
      return reading.then((others) => renderReading([...others, ...own], format));
    },
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
function renderReading(reading: readonly Reading[], format: 'text' | 'openMetrics'): Promise<string> {
  const bare = (metric: Reading) =>
    format === 'openMetrics' && metric.type === 'counter' ? metric.name.replace(/_total$/, '') : metric.name;
  const summed = reading.map((metric) => ({ ...metric, name: bare(metric), aggregator: 'sum' }));
  const registry = AggregatorRegistry.aggregate<RegistryContentType>([summed]);
  registry.setContentType(CONTENT_TYPE[format]);
  return registry.metrics();
}

function createFamily(type: 'counter' | 'gauge', { name, help, labels }: FamilyOptions, registry: Registry): Family {
  const all = new Map<string, Series & { readonly labels: Labels }>();
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
    clear: () => all.clear(),
  };
}
