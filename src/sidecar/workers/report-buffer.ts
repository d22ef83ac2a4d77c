/**
 * What a worker's requests leave behind, collected and handed to the engine a few times a second: the same calls as on
 * metrics, log and history of a single process, which the engine then makes. One report is on its way at a time, and what
 * waits for it has a bound: callers come first.
 */
import { memoize } from '../../core/memoize.ts';
import type { CallerMetrics, CounterName } from '../../core/metrics.ts';
import type { FinishedRequest, OnFinished } from '../../proxy/access-log.ts';
import type { Report, UpstreamNumbers } from './protocol.ts';

export interface OutboxOptions {
  /** Hands a report over; `done` when more may follow. */
  readonly send: (report: Report, asked: boolean, done: () => void) => void;
  readonly upstreams: () => readonly UpstreamNumbers[];
}

export interface Outbox {
  readonly metrics: CallerMetrics;
  /** A request that is over, for metrics and history. */
  readonly finished: OnFinished;
  /** A whole line of the log. */
  line(text: string): void;
  /** Reports now because somebody wants to know. */
  response(): void;
  /** Reports what is left. */
  flush(): void;
}

const EVERY_MS = 100;
/** About a pipe's worth, so that what is urgent has not long to wait behind it. */
const MAX_ENTRIES = 200;
/** What is lost beyond this while the engine stands still are lines and durations, never requests. */
const MAX_WAITING = 100_000;

interface Cell {
  readonly name: CounterName;
  readonly labels: Readonly<Record<string, string>>;
  by: number;
}

export function createOutbox(options: OutboxOptions): Outbox {
  const { counter, takeCounts } = createCells(() => soon());
  let requests: FinishedRequest[] = [];
  let lines: string[] = [];
  let inFlight = 0;
  let timer: NodeJS.Timeout | undefined;
  let busy = false;

  const flush = (asked = false) => {
    clearTimeout(timer);
    timer = undefined;
    const report = { requests, lines, counts: takeCounts(), inFlight, upstreams: options.upstreams(), ...usage() };
    requests = [];
    lines = [];
    busy = true;
    options.send(report, asked, () => {
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
  const error = memoize((code: string) => counter('errors_total', { code }));
  const replay = memoize((reason: string) => counter('upstream_replays_total', { reason }));
  return {
    metrics: {
      // `finished` knows as much and is told of every request.
      forRoute: () => ({ record: () => undefined }),
      inFlight(delta) {
        inFlight += delta;
        soon();
      },
      error: (code) => error(code)(),
      replay: (reason) => replay(reason)(),
      authorizationDropped: counter('caller_authorization_dropped_total', {}),
      counter,
    },
    finished: (...request) => add(requests, request),
    line: (text) => add(lines, text),
    response: () => flush(true),
    flush,
  };
}

/** Counters that remember what has been counted since they were last looked at. */
function createCells(onCount: () => void) {
  let touched = new Set<Cell>();
  return {
    counter(name: CounterName, labels: Readonly<Record<string, string>>) {
      const cell: Cell = { name, labels, by: 0 };
      return (by = 1) => {
        cell.by += by;
        touched.add(cell);
        onCount();
      };
    },
    takeCounts(): Report['counts'] {
      const counts = [...touched].map(({ name, labels, by }) => [name, labels, by] as const);
      for (const cell of touched) cell.by = 0;
      touched = new Set();
      return counts;
    },
  };
}

function usage(): Pick<Report, 'residentBytes' | 'cpuSeconds'> {
  const { user, system } = process.cpuUsage();
  return { residentBytes: process.memoryUsage.rss(), cpuSeconds: (user + system) / 1e6 };
}
