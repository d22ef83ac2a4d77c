/** The load generator, a separate process: receives a job as a message and sends the result. */
import { setTimeout as pause } from 'node:timers/promises';
import { type Connection, createConnection, requestBytes } from './connection.ts';
import { createRecorder } from './histogram.ts';
import { ALL_ASKED, type LoadJob, type LoadResult } from './job.ts';
import { cpuSeconds, peakResidentBytes, resetPeak, residentBytes, treeOf } from './processes.ts';

/** Wait after the measurement for outstanding responses. */
const DRAIN_MS = 10_000;
/** Connections opened at once: a listener queues only some hundred. */
const OPENED_AT_ONCE = 100;

interface Tally {
  readonly record: (ms: number, error: string | undefined, bodyBytes: number) => void;
  begin(): void;
  end(): LoadResult;
  /** Resolves when this many requests are recorded since `begin`. */
  reached(requests: number): Promise<void>;
}

function createTally(job: LoadJob): Tally {
  const pids = treeOf(job.pids);
  const measuring = [process.pid, ...job.measuringPids];
  const errors: Record<string, number> = {};
  let recorder = createRecorder();
  let requests = 0;
  let bytes = 0;
  let startedAt = performance.now();
  let cpuBefore = cpuSeconds(pids);
  let measuringBefore = cpuSeconds(measuring);
  let residentBefore = residentBytes(pids);
  let goal: { readonly requests: number; readonly resolve: () => void } | undefined;
  return {
    reached: (wanted) =>
      new Promise((resolve) => {
        goal = { requests: wanted, resolve };
      }),
    record(ms, error, bodyBytes) {
      if (error !== undefined) {
        errors[error] = (errors[error] ?? 0) + 1;
        return;
      }
      requests += 1;
      if (requests === goal?.requests) goal.resolve();
      bytes += bodyBytes + job.sendBytes;
      recorder.record(ms);
    },
    begin() {
      recorder = createRecorder();
      requests = 0;
      bytes = 0;
      residentBefore = residentBytes(pids);
      resetPeak(pids);
      startedAt = performance.now();
      cpuBefore = cpuSeconds(pids);
      measuringBefore = cpuSeconds(measuring);
    },
    end: () => ({
      requests,
      seconds: (performance.now() - startedAt) / 1000,
      // Errors of the warm-up count too: a subject that sometimes fails has no valid round.
      errors,
      bytes,
      histogram: recorder.histogram(),
      cpuSeconds: cpuSeconds(pids) - cpuBefore,
      measuringCpuSeconds: cpuSeconds(measuring) - measuringBefore,
      residentBytesBefore: residentBefore,
      residentBytes: residentBytes(pids),
      peakResidentBytes: peakResidentBytes(pids),
    }),
  };
}

function withUnanswered(result: LoadResult, count: number): LoadResult {
  return count === 0 ? result : { ...result, errors: { ...result.errors, unanswered: count } };
}

/** Each connection sends its next request after the response. */
async function closedLoop(job: LoadJob, connections: readonly Connection[], tally: Tally): Promise<LoadResult> {
  let stopping = false;
  let left = connections.length;
  const loops = connections.map(
    (connection) =>
      new Promise<void>((resolve) => {
        const ask = () =>
          connection.ask((ms, error, bodyBytes) => {
            tally.record(ms, error, bodyBytes);
            // Without a pause, refusals would be requested as fast as the machine can.
            if (stopping) {
              left -= 1;
              resolve();
            } else if (error === undefined) ask();
            else setTimeout(ask, 10);
          });
        ask();
      }),
  );
  await pause(job.warmMs);
  tally.begin();
  await (job.requests === undefined ? pause(job.measureMs) : tally.reached(job.requests));
  const result = tally.end();
  stopping = true;
  await Promise.race([Promise.all(loops), pause(DRAIN_MS, undefined, { ref: false })]);
  return withUnanswered(result, left);
}

/**
 * Requests start when they are due, on an idle or a new connection. Latency counts from the write: timers have a resolution
 * of one millisecond, and no response can delay the next request.
 */
async function openLoop(job: LoadJob, request: Buffer, tally: Tally): Promise<LoadResult> {
  const everyMs = 1000 / (job.perSecond ?? 1);
  const idle: Connection[] = [];
  const all = new Set<Connection>();
  let running = 0;
  const start = () => {
    const connection = idle.pop() ?? createConnection(job, request);
    all.add(connection);
    running += 1;
    connection.ask((ms, error, bodyBytes) => {
      tally.record(ms, error, bodyBytes);
      idle.push(connection);
      running -= 1;
    });
  };
  const startAll = async (totalMs: number) => {
    const from = performance.now();
    for (let index = 0; index * everyMs < totalMs; index += 1) {
      await pause(Math.max(0, from + index * everyMs - performance.now()));
      start();
    }
  };
  await startAll(job.warmMs);
  tally.begin();
  await startAll(job.measureMs);
  const deadline = performance.now() + DRAIN_MS;
  while (running > 0 && performance.now() < deadline) await pause(5);
  const result = tally.end();
  for (const connection of all) connection.close();
  return withUnanswered(result, running);
}

/** Sends all requests at once; ends when each has its response or the time is up. */
async function once(job: LoadJob, connections: readonly Connection[], tally: Tally): Promise<LoadResult> {
  let left = connections.length;
  const { promise, resolve } = Promise.withResolvers<void>();
  tally.begin();
  for (const connection of connections) {
    connection.ask((ms, error, bodyBytes) => {
      tally.record(ms, error, bodyBytes);
      left -= 1;
      if (left === 0) resolve();
    });
  }
  process.send?.(ALL_ASKED);
  await Promise.race([promise, pause(job.measureMs, undefined, { ref: false })]);
  const result = tally.end();
  return withUnanswered(result, left);
}

async function run(job: LoadJob): Promise<LoadResult> {
  const tally = createTally(job);
  const request = requestBytes(job);
  if (job.shape === 'open') return openLoop(job, request, tally);
  const connections = Array.from({ length: job.connections }, () => createConnection(job, request));
  try {
    if (job.shape === 'new') return await closedLoop(job, connections, tally);
    for (let from = 0; from < connections.length; from += OPENED_AT_ONCE)
      await Promise.all(connections.slice(from, from + OPENED_AT_ONCE).map(({ open }) => open()));
    return await (job.shape === 'once' ? once : closedLoop)(job, connections, tally);
  } finally {
    for (const connection of connections) connection.close();
  }
}

process.on('message', (job: LoadJob) => {
  run(job).then(
    (result) => process.send?.(result),
    (error: Error) => process.send?.({ failure: error.message }),
  );
});
process.on('disconnect', () => process.exit());
process.send?.('ready');
