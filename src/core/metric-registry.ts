/**
 * Counts in plain numbers, which prom-client reads when somebody scrapes: its own counting checks and hashes labels each
 * time. Hides prom-client, whose documented interface alone is used.
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

/** Names are whole, with the prefix. */
interface FamilyOptions {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
}

export interface Series {
  value: number;
}

export interface Family {
  /** The one with these labels, which is shown from now on; 0 at first. */
  series(labels: Labels): Series;
  /** Shows none of those there are any more. */
  clear(): void;
}

export interface MetricRegistry {
  readonly contentType: { readonly text: string; readonly openMetrics: string };
  family(type: 'counter' | 'gauge', options: FamilyOptions): Family;
  /** With exactly one label. @param buckets upper bounds, ascending, in seconds */
  histogram(options: FamilyOptions, buckets: readonly number[]): Histogram;
  /** All of them and prom-client's process metrics, as they are at the call. */
  render(format: 'text' | 'openMetrics'): Promise<string>;
}

const CONTENT_TYPE: { readonly text: RegistryContentType; readonly openMetrics: RegistryContentType } = {
  text: Registry.PROMETHEUS_CONTENT_TYPE,
  openMetrics: Registry.OPENMETRICS_CONTENT_TYPE,
};

/** Shares nothing with any other; the process metrics begin here. */
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
 * The way readings of worker processes become one: of a single process, the sum of each sample is the sample. A registry
 * of OpenMetrics expects families without the suffix of their samples, and one that rendered them itself would rename
 * its counters for good.
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
