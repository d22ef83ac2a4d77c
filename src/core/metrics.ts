/**
 * Every metric in one table, behind typed record functions. Label sets stay bounded whatever callers or servers send:
 * routes and credentials come from the configuration, methods and results from closed lists.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, type OpenMetricsContentType, Registry } from 'prom-client';
import { ERRORS, type ErrorCode } from './errors.ts';
import { createLatencies, type Latencies } from './histogram.ts';

interface MetricRow {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
  readonly buckets?: readonly number[];
}

/** Seconds; from a cache hit on loopback (0.5 ms) to the longest answer worth waiting for. */
const REQUEST_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const TOKEN_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export const METRICS = {
  requests_total: {
    type: 'counter',
    help: 'Requests answered, by route, method and HTTP status',
    labels: ['route', 'method', 'code'],
  },
  request_duration_seconds: {
    type: 'histogram',
    help: 'From the first byte of a request to the last byte of its answer',
    labels: ['route'],
    buckets: REQUEST_BUCKETS,
  },
  requests_in_flight: { type: 'gauge', help: 'Requests being served now', labels: [] },
  errors_total: { type: 'counter', help: 'Answers of the sidecar’s own, by error code', labels: ['code'] },
  caller_authorization_dropped_total: {
    type: 'counter',
    help: 'Requests with an Authorization of their own that was not passed on',
    labels: [],
  },
  caller_requests_total: { type: 'counter', help: 'Requests admitted, by caller', labels: ['caller'] },
  upstream_replays_total: { type: 'counter', help: 'Requests sent upstream a second time', labels: ['reason'] },
  token_requests_total: {
    type: 'counter',
    help: 'Token requests, by result: ok, an OAuth error code or a transport class',
    labels: ['credential', 'result'],
  },
  token_request_duration_seconds: {
    type: 'histogram',
    help: 'Duration of token requests',
    labels: ['credential'],
    buckets: TOKEN_BUCKETS,
  },
  token_lookups_total: {
    type: 'counter',
    help: 'Token look-ups: hit, early (refresh behind), join (a fetch under way) or miss',
    labels: ['credential', 'result'],
  },
  token_expiry_timestamp_seconds: {
    type: 'gauge',
    help: 'When the current token expires, Unix time',
    labels: ['credential', 'scope'],
  },
  token_last_success_timestamp_seconds: {
    type: 'gauge',
    help: 'When a token was last obtained, Unix time',
    labels: ['credential'],
  },
  token_consecutive_failures: {
    type: 'gauge',
    help: 'Token requests failed since the last success',
    labels: ['credential'],
  },
  secret_in_use: {
    type: 'gauge',
    help: '1 for the secret the identity server last accepted, 0 for the others',
    labels: ['credential', 'secret'],
  },
  secret_expiry_timestamp_seconds: {
    type: 'gauge',
    help: 'When a client secret expires as far as Aritma IAM tells, Unix time',
    labels: ['credential', 'secret'],
  },
  rotations_total: {
    type: 'counter',
    help: 'Rotations of client secrets by the sidecar: ok, or the code of what stopped one (it is resumed)',
    labels: ['credential', 'result'],
  },
  config_reloads_total: {
    type: 'counter',
    help: 'Reloads of the configuration: ok, unchanged, or invalid (the last good one stays in force)',
    labels: ['result'],
  },
  audit_failing: { type: 'gauge', help: '1 while the audit log cannot be written', labels: [] },
  config_generation: { type: 'gauge', help: 'Configurations in force so far, counted from 1', labels: [] },
  build_info: { type: 'gauge', help: 'Always 1', labels: ['version', 'node'] },
} as const satisfies Record<string, MetricRow>;

export type MetricName = keyof typeof METRICS;
export const METRIC_PREFIX = 'aritma_sidecar_';
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** Those of which one is counted at a time, by whoever sees it happen. */
export type CounterName =
  | 'token_lookups_total'
  | 'caller_requests_total'
  | 'errors_total'
  | 'upstream_replays_total'
  | 'caller_authorization_dropped_total';

type Labels = Readonly<Record<string, string>>;

export interface RouteMetrics {
  /** @param seconds duration of the whole exchange */
  record(method: string, status: number, seconds: number): void;
}

export interface Metrics {
  readonly contentType: { text: string; openMetrics: string };
  /** @param present those that are read off a snapshot: those not among them have no sample */
  render(format: 'text' | 'openMetrics', present: readonly Present[]): Promise<string>;
  /** Resolve once per route, not per request. */
  forRoute(route: string): RouteMetrics;
  inFlight(delta: number): void;
  error(code: ErrorCode): void;
  authorizationDropped(): void;
  auditFailing(failing: boolean): void;
  replay(reason: 'unauthorized' | 'stale_connection'): void;
  count(name: 'token_requests_total' | 'config_reloads_total' | 'rotations_total', labels: Labels): void;
  /** Resolves the labels once; the result counts one each call, or as many as it is told. */
  counter(name: CounterName, labels: Labels): (by?: number) => void;
  observe(name: 'token_request_duration_seconds', labels: Labels, seconds: number): void;
}

/** What requests of callers leave behind. */
export type CallerMetrics = Pick<
  Metrics,
  'forRoute' | 'inFlight' | 'error' | 'authorizationDropped' | 'replay' | 'counter'
>;

const PRESENT = [
  'token_expiry_timestamp_seconds',
  'token_last_success_timestamp_seconds',
  'token_consecutive_failures',
  'secret_in_use',
  'secret_expiry_timestamp_seconds',
  'config_generation',
] as const;

interface Present {
  readonly name: (typeof PRESENT)[number];
  readonly labels: Labels;
  readonly value: number;
}

/** Builds one registry with all metrics and prom-client's process metrics. */
export function createMetrics(version: string): Metrics {
  const text = new Registry();
  const openMetrics = new Registry<OpenMetricsContentType>();
  openMetrics.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  collectDefaultMetrics({ register: text });
  const built = buildAll(text);
  // prom-client renames counters in place when it renders OpenMetrics, which would take `_total` away from the text
  // format from then on: it gets objects of its own that inherit everything else.
  for (const metric of text.getMetricsAsArray()) openMetrics.registerMetric(Object.create(metric));
  // A counter that is not there yet cannot be seen to rise.
  for (const result of ['ok', 'unchanged', 'invalid']) built.config_reloads_total.inc({ result }, 0);
  for (const reason of ['unauthorized', 'stale_connection']) built.upstream_replays_total.inc({ reason }, 0);
  for (const code of Object.keys(ERRORS)) built.errors_total.inc({ code }, 0);
  built.build_info.set({ version, node: process.versions.node }, 1);
  const tallies = createTallies(built);
  let inFlight = 0;
  return {
    contentType: { text: Registry.PROMETHEUS_CONTENT_TYPE, openMetrics: Registry.OPENMETRICS_CONTENT_TYPE },
    render(format, present) {
      for (const name of PRESENT) built[name].reset();
      for (const { name, labels, value } of present) put(built[name], labels, value);
      built.requests_in_flight.set(inFlight);
      tallies.settle();
      return (format === 'text' ? text : openMetrics).metrics();
    },
    forRoute: (route) => routeMetrics(built, tallies, route),
    inFlight(delta) {
      inFlight += delta;
    },
    authorizationDropped: () => built.caller_authorization_dropped_total.inc(),
    auditFailing: (failing) => built.audit_failing.set(failing ? 1 : 0),
    error: (code) => built.errors_total.inc({ code }),
    replay: (reason) => built.upstream_replays_total.inc({ reason }),
    count: (name, labels) => built[name].inc(labels),
    counter: tallies.open,
    observe: (name, labels, seconds) => built[name].observe(labels, seconds),
  };
}

type Tallied = 'requests_total' | CounterName;

interface Tallies {
  /** What is returned counts one each call, or as many as it is told; the same series is the same tally. */
  open(name: Tallied, labels: Labels): (by?: number) => void;
  /** Brings the counters up to date. */
  settle(): void;
}

/** prom-client's own counting checks and hashes labels each time; what happens at every request is only tallied. */
function createTallies(built: Built): Tallies {
  const all = new Map<string, { readonly settle: (count: number) => void; count: number }>();
  return {
    open(name, labels) {
      const id = JSON.stringify([name, labels]);
      const settle = (count: number) => built[name].inc(labels, count);
      const tally = all.get(id) ?? { settle, count: 0 };
      all.set(id, tally);
      // The series is there from now on.
      settle(0);
      return (by = 1) => {
        tally.count += by;
      };
    },
    settle() {
      for (const tally of all.values()) {
        tally.settle(tally.count);
        tally.count = 0;
      }
    },
  };
}

type Built = {
  [name in Exclude<MetricName, 'request_duration_seconds'>]: (typeof METRICS)[name]['type'] extends 'counter'
    ? Counter
    : (typeof METRICS)[name]['type'] extends 'gauge'
      ? Gauge
      : Histogram;
} & { request_duration_seconds: Latencies };

/** Whatever it was before, which has been reset. */
function put(metric: Gauge | Counter, labels: Labels, value: number): void {
  if (metric instanceof Gauge) metric.set(labels, value);
  else metric.inc(labels, value);
}

function buildAll(register: Registry): Built {
  return Object.fromEntries(
    Object.entries(METRICS).map(([name, row]) => [name, build(name, row, register)]),
  ) as unknown as Built;
}

function build(name: string, row: MetricRow, register: Registry): Counter | Gauge | Histogram | Latencies {
  const about = { name: METRIC_PREFIX + name, help: row.help };
  const options = { ...about, labelNames: [...row.labels], registers: [register] };
  if (row.type === 'counter') return new Counter(options);
  if (row.type === 'gauge') return new Gauge(options);
  const buckets = [...(row.buckets ?? [])];
  if (name !== 'request_duration_seconds') return new Histogram({ ...options, buckets });
  const latencies = createLatencies({ ...about, label: 'route', buckets });
  register.registerMetric(latencies.metric);
  return latencies;
}

function routeMetrics(built: Built, tallies: Tallies, route: string): RouteMetrics {
  const counters = new Map<string, Map<number, () => void>>();
  const duration = built.request_duration_seconds.series(route);
  const open = (method: string, status: number) => {
    const count = tallies.open('requests_total', { route, method, code: String(status) });
    const ofMethod = counters.get(method) ?? new Map<number, () => void>();
    counters.set(method, ofMethod.set(status, count));
    return count;
  };
  return {
    record(method, status, seconds) {
      // A caller chooses the method: only known ones may make a series, and take a place in this map.
      const label = METHODS.has(method) ? method : 'other';
      const count = counters.get(label)?.get(status) ?? open(label, status);
      count();
      duration(seconds);
    },
  };
}
