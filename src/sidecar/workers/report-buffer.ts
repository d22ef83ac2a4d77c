/**
 * What a worker's requests leave behind, collected and handed to the primary a few times a second: the same calls as on
 * metrics, log and history of a single process, which the primary then makes. One report is on its way at a time, and what
 * waits for it has a bound: callers come first.
 */
import type { CallerMetrics, CounterName } from '../../core/metrics.ts';
import type { FinishedRequest, OnFinished } from '../../proxy/exchange.ts';
import type { UpstreamUse } from '../data-plane/routes.ts';
import type { Report } from './protocol.ts';

export interface ReportBufferOptions {
  /** Hands a report over; `sent` when more may follow. */
  readonly send: (report: Report, sent: () => void) => void;
  readonly upstreams: () => readonly UpstreamUse[];
}

export interface ReportBuffer {
  readonly metrics: CallerMetrics;
  /** A request that is over, for metrics and history. */
  readonly finished: OnFinished;
  /** A whole line of the log. */
  line(text: string): void;
  /** Everything since the last report. */
  take(): Report;
}

const EVERY_MS = 100;
/** About a pipe's worth, so that what is urgent has not long to wait behind it. */
const MAX_ENTRIES = 200;
/** What is lost beyond this while the primary stands still are lines and durations, never requests. */
const MAX_WAITING = 100_000;

export function createReportBuffer(options: ReportBufferOptions): ReportBuffer {
  const { counter, takeCounts } = createCounters(() => soon());
  let requests: FinishedRequest[] = [];
  let lines: string[] = [];
  let inFlight = 0;
  let timer: NodeJS.Timeout | undefined;
  let busy = false;

  const take = () => {
    clearTimeout(timer);
    timer = undefined;
    const { user, system } = process.cpuUsage();
    const usage = { residentBytes: process.memoryUsage.rss(), cpuSeconds: (user + system) / 1e6 };
    const report = { requests, lines, counts: takeCounts(), inFlight, upstreams: options.upstreams(), ...usage };
    requests = [];
    lines = [];
    return report;
  };
  const flush = () => {
    busy = true;
    options.send(take(), () => {
      busy = false;
      if (requests.length + lines.length > 0) soon();
    });
  };
  const soon = () => {
    timer ??= setTimeout(flush, EVERY_MS);
    if (requests.length + lines.length >= MAX_ENTRIES && !busy) flush();
  };
  const add = <T>(list: T[], entry: T) => {
    if (list.length < MAX_WAITING) list.push(entry);
    soon();
  };
  return {
    metrics: {
      // `finished` knows as much and is told of every request.
      forRoute: () => ({ record: () => undefined }),
      inFlight(delta) {
        inFlight += delta;
        soon();
      },
      error: (code) => counter('errors_total', { code })(),
      replay: (reason) => counter('upstream_replays_total', { reason })(),
      authorizationDropped: counter('caller_authorization_dropped_total', {}),
      counter,
    },
    finished: (...request) => add(requests, request),
    line: (text) => add(lines, text),
    take,
  };
}

/** Counters that remember what has been counted since they were last looked at. */
function createCounters(onCount: () => void) {
  const all = new Map<string, { readonly name: CounterName; readonly labels: Report['counts'][0][1]; by: number }>();
  return {
    counter(name: CounterName, labels: Readonly<Record<string, string>>) {
      const id = JSON.stringify([name, labels]);
      const cell = all.get(id) ?? { name, labels, by: 0 };
      all.set(id, cell);
      return (by = 1) => {
        cell.by += by;
        onCount();
      };
    },
    takeCounts(): Report['counts'] {
      const touched = [...all.values()].filter(({ by }) => by > 0);
      const counts = touched.map(({ name, labels, by }) => [name, labels, by] as const);
      for (const cell of touched) cell.by = 0;
      return counts;
    },
  };
}
