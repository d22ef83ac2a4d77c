/**
 * What workers report, entered where a single process would have entered it: the same metrics, history and log. What was
 * reported stays counted when its worker is gone; what was going on in it does not.
 */
import type { Log } from '../../core/log.ts';
import type { Metrics, RouteMetrics } from '../../core/metrics.ts';
import type { OnFinished } from '../../proxy/access-log.ts';
import type { Worker } from './process-pool.ts';
import type { Report, UpstreamNumbers } from './protocol.ts';

export interface LedgerOptions {
  readonly metrics: Pick<Metrics, 'forRoute' | 'counter' | 'inFlight'>;
  readonly onFinished: OnFinished;
  readonly log: Pick<Log, 'relay'>;
}

export interface AccountData {
  enter(worker: Worker, report: Report): void;
  /** Nothing goes on in it any more. */
  gone(worker: Worker): void;
  inFlight(): number;
  /** Over all workers. */
  upstreams(): UpstreamNumbers[];
  /** Of each worker there is. */
  usage(): { readonly index: number; readonly residentBytes: number; readonly cpuSeconds: number }[];
}

export function createAccountData({ metrics, onFinished, log }: LedgerOptions): AccountData {
  const latest = new Map<Worker, Report>();
  const counters = new Map<string, (by: number) => void>();
  const routes = new Map<string, RouteMetrics>();
  /** CPU time of workers that have ended, by place: what a successor uses comes on top. */
  const spent = new Map<number, number>();

  const routeMetrics = (route = 'none') => {
    const known = routes.get(route) ?? metrics.forRoute(route);
    routes.set(route, known);
    return known;
  };
  const count = ([name, labels, by]: Report['counts'][number]) => {
    const key = name + JSON.stringify(labels);
    const known = counters.get(key) ?? metrics.counter(name, labels);
    counters.set(key, known);
    known(by);
  };
  const inFlightOf = (worker: Worker) => latest.get(worker)?.inFlight ?? 0;
  return {
    enter(worker, report) {
      metrics.inFlight(report.inFlight - inFlightOf(worker));
      latest.set(worker, report);
      for (const [route, status, ms, failure, method] of report.requests) {
        routeMetrics(route).record(method, status, ms / 1000);
        onFinished(route, status, ms, failure, method);
      }
      report.counts.forEach(count);
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
function sum(lists: readonly (readonly UpstreamNumbers[])[]): UpstreamNumbers[] {
  const totals = new Map<string, UpstreamNumbers>();
  for (const list of lists) {
    list.forEach(({ origin, connected, running, queued }, position) => {
      const id = `${position} ${origin}`;
      const before = totals.get(id) ?? { connected: 0, running: 0, queued: 0 };
      totals.set(id, {
        origin,
        connected: before.connected + connected,
        running: before.running + running,
        queued: before.queued + queued,
      });
    });
  }
  return [...totals.values()];
}
