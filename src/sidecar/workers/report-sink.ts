/**
 * What workers report, entered where a single process would have entered it: the same metrics, history and log. What was
 * reported stays counted when its worker is gone; what was going on in it does not.
 */
import type { Log } from '../../core/log.ts';
import type { Metrics, RouteMetrics } from '../../core/metrics.ts';
import type { OnFinished } from '../../proxy/exchange.ts';
import type { UpstreamUse } from '../data-plane/routes.ts';
import type { Worker } from './process-pool.ts';
import type { Report } from './protocol.ts';

export interface ReportSinkOptions {
  readonly metrics: Pick<Metrics, 'forRoute' | 'counter' | 'inFlight'>;
  readonly onFinished?: OnFinished | undefined;
  readonly log: Pick<Log, 'relay'>;
}

export interface ReportSink {
  enter(worker: Worker, report: Report): void;
  /** Nothing goes on in it any more. */
  gone(worker: Worker): void;
  inFlight(): number;
  /** Over all workers. */
  upstreams(): UpstreamUse[];
  /** Of each worker there is. */
  usage(): { readonly index: number; readonly residentBytes: number; readonly cpuSeconds: number }[];
}

export function createReportSink({ metrics, onFinished, log }: ReportSinkOptions): ReportSink {
  const latest = new Map<Worker, Report>();
  const routes = new Map<string, RouteMetrics>();
  /** CPU time of workers that have ended, by place: what a successor uses comes on top. */
  const spent = new Map<number, number>();

  const routeMetrics = (route = 'none') => {
    const known = routes.get(route) ?? metrics.forRoute(route);
    routes.set(route, known);
    return known;
  };
  const inFlightOf = (worker: Worker) => latest.get(worker)?.inFlight ?? 0;
  return {
    enter(worker, report) {
      metrics.inFlight(report.inFlight - inFlightOf(worker));
      latest.set(worker, report);
      for (const [route, status, ms, failure, method] of report.requests) {
        routeMetrics(route).record(method, status, ms / 1000);
        onFinished?.(route, status, ms, failure, method);
      }
      for (const [name, labels, by] of report.counts) metrics.counter(name, labels)(by);
      report.lines.forEach(log.relay);
    },
    gone(worker) {
      metrics.inFlight(-inFlightOf(worker));
      spent.set(worker.index, (spent.get(worker.index) ?? 0) + (latest.get(worker)?.cpuSeconds ?? 0));
      latest.delete(worker);
    },
    inFlight: () => [...latest.values()].reduce((sum, { inFlight }) => sum + inFlight, 0),
    upstreams: () => sum([...latest.values()].map(({ upstreams }) => upstreams)),
    usage: () =>
      [...latest].map(([{ index }, { residentBytes, cpuSeconds }]) => ({
        ...{ index, residentBytes },
        cpuSeconds: cpuSeconds + (spent.get(index) ?? 0),
      })),
  };
}

/** Workers of one configuration list the same; those that are about to change over do not count. */
function sum(lists: readonly (readonly UpstreamUse[])[]): UpstreamUse[] {
  const grouped = Map.groupBy(
    lists.flatMap((list) => list.map((use, position) => ({ use, id: `${position} ${use.origin}` }))),
    ({ id }) => id,
  );
  return [...grouped.values()].map((uses) => {
    const total = (member: 'connected' | 'running' | 'queued') =>
      uses.reduce((count, { use }) => count + use[member], 0);
    const origin = uses[0]?.use.origin ?? '';
    return { origin, connected: total('connected'), running: total('running'), queued: total('queued') };
  });
}
