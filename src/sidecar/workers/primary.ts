/**
 * The data plane in worker processes, as the primary sees it: they get connections, tokens and configurations from here, and
 * what they report ends up in this process's metrics, log, history and audit log.
 */
import { type ChildProcess, type ForkOptions, fork } from 'node:child_process';
import { join } from 'node:path';
import { isSea } from 'node:sea';
import type { Clock } from '../../core/clock.ts';
import { SidecarError } from '../../core/errors.ts';
import type { Metrics } from '../../core/metrics.ts';
import type { Auditor } from '../audit/auditor.ts';
import type { DataPlane, DataPlaneOptions } from '../data-plane/data-plane.ts';
import type { Generation } from '../generation.ts';
import { createHandoff } from './connection-handoff.ts';
import { createPool, type Worker } from './process-pool.ts';
import { type PrimaryApi, packSettings, type WireServing } from './protocol.ts';
import { createReportSink } from './report-sink.ts';
import { createSharedLimits } from './shared-limits.ts';
import { createTokenBroker } from './token-broker.ts';

/** How long metrics wait for workers that are busy. */
const SETTLE_MS = 250;

export interface PrimaryOptions extends Pick<DataPlaneOptions, 'link' | 'hosts'> {
  readonly first: Generation;
  readonly metrics: Metrics;
  readonly auditor: Auditor | undefined;
  readonly clock: Clock;
}

export interface Workers {
  /** Resolves when callers can be served. @throws SidecarError SIDECAR_INTERNAL when they never will be */
  ready(): Promise<void>;
  numbers(): {
    readonly configured: number;
    readonly running: number;
    readonly each: readonly { readonly index: number; readonly residentBytes: number; readonly cpuSeconds: number }[];
  };
  /** Resolves when metrics and log have everything that is over by now, or soon after. */
  settled(): Promise<void>;
}

/** Starts the workers. */
export function createPrimary(options: PrimaryOptions): DataPlane<Generation> & { readonly workers: Workers } {
  const { first, link, hosts, metrics, auditor, clock } = options;
  const { config, workerEnv } = first.loaded;
  const serving = createServing(first, config.workers);
  const state = { draining: false, hostsTold: hosts.size };
  const all = (run: (worker: Worker) => void) => pool.alive().forEach(run);
  const sink = createReportSink({ metrics, onFinished: link.onFinished, log: link.log });
  const hear = async () => {
    const report = async (worker: Worker) => sink.enter(worker, await worker.call('report'));
    await within(SETTLE_MS, Promise.allSettled(pool.ready().map(report)));
  };
  const limits = createSharedLimits(link.enter, hear);
  const broker = createTokenBroker({ broadcast: (news) => all((worker) => worker.tell('token', news)), clock });
  const handoff = createHandoff({
    ready: () => pool.ready(),
    count: config.workers,
    limit: config.limits.connections,
    beforeEach() {
      // Names become known when listeners are bound, one after the other.
      if (state.hostsTold !== hosts.size) all((worker) => worker.tell('hosts', [...hosts]));
      state.hostsTold = hosts.size;
    },
  });
  const open = (generation: Generation) => {
    broker.open(serving.number(), generation.sources);
    generation.onTokenChange(broker.sync);
  };
  const start = (worker: Worker) =>
    worker.call('start', {
      serving: serving.forWorker(worker, broker.tokens),
      hosts: [...hosts],
      audit: config.audit && {
        whenFailing: config.audit.whenFailing,
        failing: auditor?.snapshot().failing !== undefined,
      },
    });
  const apiFor = (worker: Worker): PrimaryApi => ({
    taken: (id) => handoff.taken(worker, id),
    closed: (count) => handoff.closed(worker, count),
    token: broker.ask,
    enter: (claims) => limits.enter(worker, claims),
    leave: (id) => limits.leave(worker, id),
    report: (report) => sink.enter(worker, report),
    fact: (facts) => auditor?.append(facts),
  });
  open(first);
  const pool = createPool({
    ...{ count: config.workers, launch: () => launch(workerEnv), log: link.log, apiFor, start },
    onReady(worker) {
      handoff.ready();
      if (state.draining) void worker.call('drain').catch(() => undefined);
    },
    onGone(worker, unexpected) {
      if (unexpected) metrics.workerRestarted();
      for (const part of [sink, limits, handoff]) part.gone(worker);
    },
  });
  auditor?.watch((failing) => all((worker) => worker.tell('audit', failing)));
  return {
    createListener: (tls) => handoff.createListener(tls !== undefined),
    inFlight: sink.inFlight,
    upstreams: sink.upstreams,
    workers: {
      ready: () =>
        pool.started().catch((cause: unknown) => {
          throw new SidecarError('SIDECAR_INTERNAL', { cause, fields: { reason: 'a worker did not start' } });
        }),
      numbers: () => ({ configured: config.workers, running: pool.ready().length, each: sink.usage() }),
      settled: hear,
    },
    async use(next) {
      const before = serving.number();
      serving.replace(next);
      open(next);
      // One that ends meanwhile has none left either.
      await Promise.allSettled(
        pool.alive().map((worker) => worker.call('use', serving.forWorker(worker, broker.tokens))),
      );
      broker.forget(before);
    },
    async drain() {
      state.draining = true;
      await Promise.allSettled(pool.ready().map((worker) => worker.call('drain')));
    },
    destroyConnections: () => all((worker) => worker.tell('destroyConnections')),
    async close() {
      await hear();
      handoff.close();
      await pool.close();
    },
  };
}

/** The generation in force, and what each worker is to serve by. */
function createServing(first: Generation, count: number) {
  let current = first;
  let number = 1;
  return {
    number: () => number,
    replace(next: Generation) {
      current = next;
      number += 1;
    },
    forWorker: ({ index }: Worker, tokens: (number: number) => WireServing['tokens']): WireServing => ({
      number,
      settings: packSettings(current.settings({ index, count })),
      tokens: tokens(number),
      tokenWaitMs: current.loaded.config.token.waitTimeout,
    }),
  };
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}

/** This program once more, as a worker; with the flags of Node that this process has, and next to no environment. */
function launch(env: NodeJS.ProcessEnv): ChildProcess {
  const options: ForkOptions = { env, serialization: 'advanced', stdio: ['ignore', 'ignore', 'inherit', 'ipc'] };
  // An executable is its own main file, and puts Node's flags in by itself: as arguments, the program would get them.
  if (isSea()) return fork('worker', [], { ...options, execArgv: [] });
  // In a bundle, all files stand beside main.js.
  const main = import.meta.filename.endsWith('.ts') ? '../../main.ts' : 'main.js';
  return fork(join(import.meta.dirname, main), ['worker'], options);
}
