/**
 * Every metric in one table, with typed functions to record them. The number of label sets is bounded, whatever callers
 * or servers send: routes and credentials come from the configuration, methods and results from closed lists.
 */
import { ERRORS, type ErrorCode } from './errors.ts';
import type { Histogram } from './histogram.ts';
import { createMetricRegistry, type Family, type Labels, type MetricRegistry, type Series } from './metric-registry.ts';
import type { SpanIds } from './tracing.ts';

interface MetricRow {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
  readonly buckets?: readonly number[];
}

/** Seconds: from a cache hit on loopback (0.5 ms) to the longest useful response. */
const REQUEST_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const TOKEN_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export const METRICS = {
  requests_total: {
    type: 'counter',
    help: 'Finished requests, by route, method and HTTP status',
    labels: ['route', 'method', 'code'],
  },
  request_duration_seconds: {
    type: 'histogram',
    help: 'Time from the first byte of a request to the last byte of its response',
    labels: ['route'],
    buckets: REQUEST_BUCKETS,
  },
  requests_in_flight: { type: 'gauge', help: 'Requests in progress', labels: [] },
  errors_total: { type: 'counter', help: 'Error responses from the sidecar itself, by error code', labels: ['code'] },
  caller_authorization_dropped_total: {
    type: 'counter',
    help: 'Requests that arrived with an Authorization header, which the sidecar removed',
    labels: [],
  },
  caller_requests_total: { type: 'counter', help: 'Admitted requests, by caller', labels: ['caller'] },
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
    help: 'Token lookups: hit, early (hit, refresh in the background), join (waits for a running fetch) or miss',
    labels: ['credential', 'result'],
  },
  token_expiry_timestamp_seconds: {
    type: 'gauge',
    help: 'Expiry of the current token, Unix time',
    labels: ['credential', 'scope'],
  },
  token_last_success_timestamp_seconds: {
    type: 'gauge',
    help: 'Last successful token request, Unix time',
    labels: ['credential'],
  },
  token_consecutive_failures: { type: 'gauge', help: 'Failed token requests since a success', labels: ['credential'] },
  secret_in_use: {
    type: 'gauge',
    help: '1 for the secret in use, 0 for the others; after a change, none until the server is asked',
    labels: ['credential', 'secret'],
  },
  secret_expiry_timestamp_seconds: {
    type: 'gauge',
    help: 'Expiry of a client secret as reported by Aritma IAM, Unix time',
    labels: ['credential', 'secret'],
  },
  client_assertion_expiry_timestamp_seconds: {
    type: 'gauge',
    help: 'Expiry of the client assertion in its file, Unix time',
    labels: ['credential'],
  },
  rotations_total: {
    type: 'counter',
    help: 'Secret rotations by the sidecar: ok, or the error code that stopped one (it resumes)',
    labels: ['credential', 'result'],
  },
  fleet_up: { type: 'gauge', help: '1 while the fleet store is usable, else 0', labels: [] },
  fleet_members: { type: 'gauge', help: 'Live sidecars that share the fleet store', labels: [] },
  fleet_operations_total: {
    type: 'counter',
    help: 'Commands to the fleet store, by result: ok, or why it cannot be used',
    labels: ['operation', 'result'],
  },
  fleet_operation_duration_seconds: {
    type: 'histogram',
    help: 'Duration of commands to the fleet store',
    labels: ['operation'],
    buckets: REQUEST_BUCKETS,
  },
  fleet_tokens_total: {
    type: 'counter',
    help: 'Tokens obtained in fleet mode: fetched from the identity server, or shared by another sidecar',
    labels: ['source'],
  },
  fleet_rejected_total: {
    type: 'counter',
    help: 'Values in the fleet store that were refused, by reason',
    labels: ['reason'],
  },
  config_reloads_total: {
    type: 'counter',
    help: 'Configuration reloads: ok, unchanged, or invalid (the last valid one stays active)',
    labels: ['result'],
  },
  route_working: {
    type: 'gauge',
    help: '0 while calls to the route fail, otherwise 1',
    labels: ['route'],
  },
  failures_total: {
    type: 'counter',
    help: 'Failures with servers and callers, by cause; same causes as in log, error responses and status page',
    labels: ['cause'],
  },
  log_lines_lost_total: {
    type: 'counter',
    help: 'Log lines dropped because the reader of the log was too slow',
    labels: [],
  },
  audit_failing: { type: 'gauge', help: '1 while the audit log cannot be written', labels: [] },
  config_generation: { type: 'gauge', help: 'Number of the current configuration, counted from 1', labels: [] },
  build_info: { type: 'gauge', help: 'Always 1; version and node are labels', labels: ['version', 'node'] },
} as const satisfies Record<string, MetricRow>;

export type MetricName = keyof typeof METRICS;
export const METRIC_PREFIX = 'aritma_sidecar_';
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

export interface RouteMetrics {
  /** Records a finished request. @param seconds duration of the whole exchange @param span shown as an exemplar */
  record(method: string, status: number, seconds: number, span?: SpanIds): void;
}

export interface Metrics {
  readonly contentType: MetricRegistry['contentType'];
  /** @param present gauges read from a snapshot; a series that is not listed has no sample */
  render(format: 'text' | 'openMetrics', present: readonly Present[]): Promise<string>;
  /** Call once per route, not per request. */
  forRoute(route: string): RouteMetrics;
  inFlight(delta: number): void;
  error(code: ErrorCode): void;
  /** @param cause of a `Failure`, from closed tables */
  failure(cause: string): void;
  authorizationDropped(): void;
  auditFailing(failing: boolean): void;
  replay(reason: 'unauthorized' | 'stale_connection'): void;
  count(name: CountedByLabels, labels: Labels): void;
  /**
   * Returns a function that counts one under the given value of `label`. The values must be few.
   * @param rest.values series to show from the start @param rest.labels all other labels
   */
  counterBy(
    name: 'token_lookups_total' | 'caller_requests_total',
    label: string,
    rest: { readonly values?: readonly string[]; readonly labels?: Labels },
  ): (value: string) => void;
  /** @param label value of the only label */
  observe(
    name: 'token_request_duration_seconds' | 'fleet_operation_duration_seconds',
    label: string,
    seconds: number,
  ): void;
}

type CountedByLabels =
  | 'token_requests_total'
  | 'config_reloads_total'
  | 'rotations_total'
  | 'fleet_operations_total'
  | 'fleet_tokens_total'
  | 'fleet_rejected_total';

/** The metrics that caller requests record. */
export type CallerMetrics = Pick<
  Metrics,
  'forRoute' | 'inFlight' | 'error' | 'failure' | 'authorizationDropped' | 'replay' | 'counterBy'
>;

const PRESENT = [
  'token_expiry_timestamp_seconds',
  'token_last_success_timestamp_seconds',
  'token_consecutive_failures',
  'secret_in_use',
  'secret_expiry_timestamp_seconds',
  'client_assertion_expiry_timestamp_seconds',
  'config_generation',
  'route_working',
  'log_lines_lost_total',
  'fleet_up',
  'fleet_members',
] as const;

interface Present {
  readonly name: (typeof PRESENT)[number];
  readonly labels: Labels;
  readonly value: number;
}

/** Creates one registry with all metrics and prom-client's process metrics. */
export function createMetrics(version: string): Metrics {
  const registry = createMetricRegistry();
  const { eventLoopLag } = registry;
  const families = buildFamilies(registry);
  const durations = buildHistograms(registry);
  const count = (name: keyof Families, labels: Labels = {}) => {
    families[name].series(labels).value += 1;
  };
  // Prometheus misses the first increase of a counter that did not exist before.
  for (const result of ['ok', 'unchanged', 'invalid']) families.config_reloads_total.series({ result });
  for (const reason of ['unauthorized', 'stale_connection']) families.upstream_replays_total.series({ reason });
  for (const code of Object.keys(ERRORS)) families.errors_total.series({ code });
  families.build_info.series({ version, node: process.versions.node }).value = 1;
  const inFlight = families.requests_in_flight.series({});
  return {
    contentType: registry.contentType,
    render(format, present) {
      for (const name of PRESENT) families[name].clear();
      for (const { name, labels, value } of present) families[name].series(labels).value = value;
      return registry.render(format);
    },
    forRoute: (route) => routeMetrics(families.requests_total, durations.request_duration_seconds, route),
    inFlight(delta) {
      inFlight.value += delta;
      if (!eventLoopLag.isNoted) eventLoopLag.noteRequest();
    },
    authorizationDropped: () => count('caller_authorization_dropped_total'),
    auditFailing(failing) {
      families.audit_failing.series({}).value = failing ? 1 : 0;
    },
    error: (code) => count('errors_total', { code }),
    failure: (cause) => count('failures_total', { cause }),
    replay: (reason) => count('upstream_replays_total', { reason }),
    count,
    counterBy(name, label, { values = [], ...fixed }) {
      const open = (value: string) => families[name].series({ ...fixed.labels, [label]: value });
      const known = new Map(values.map((value) => [value, open(value)]));
      return (value) => {
        const series = known.get(value) ?? open(value);
        known.set(value, series);
        series.value += 1;
      };
    },
    observe: (name, label, seconds) => durations[name].series(label)(seconds),
  };
}

type NamesOf<Type> = { [Name in MetricName]: (typeof METRICS)[Name]['type'] extends Type ? Name : never }[MetricName];
type Families = Readonly<Record<NamesOf<'counter' | 'gauge'>, Family>>;
type Histograms = Readonly<Record<NamesOf<'histogram'>, Histogram>>;

function buildFamilies(registry: MetricRegistry): Families {
  const rows = Object.entries(METRICS).flatMap(([name, row]) => {
    if (row.type === 'histogram') return [];
    return [[name, registry.family(row.type, { ...row, name: METRIC_PREFIX + name })]];
  });
  return Object.fromEntries(rows) as Families;
}

function buildHistograms(registry: MetricRegistry): Histograms {
  const rows = Object.entries(METRICS).flatMap(([name, row]) => {
    if (row.type !== 'histogram') return [];
    return [[name, registry.histogram({ ...row, name: METRIC_PREFIX + name }, row.buckets)]];
  });
  return Object.fromEntries(rows) as Histograms;
}

function routeMetrics(requests: Family, durations: Histogram, route: string): RouteMetrics {
  const counters = new Map<string, Map<number, Series>>();
  const duration = durations.series(route);
  const open = (method: string, status: number) => {
    const series = requests.series({ route, method, code: String(status) });
    const ofMethod = counters.get(method) ?? new Map<number, Series>();
    counters.set(method, ofMethod.set(status, series));
    return series;
  };
  return {
    record(method, status, seconds, span) {
      // The caller chooses the method: only known methods may create a series and a map entry.
      const label = METHODS.has(method) ? method : 'other';
      const series = counters.get(label)?.get(status) ?? open(label, status);
      series.value += 1;
      duration(seconds, span);
    },
  };
}
