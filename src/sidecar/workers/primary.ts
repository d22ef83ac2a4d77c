/**
 * The engine's side of the workers, composed: they get connections, tokens and configurations from here, and what they
 * report ends up in this process's metrics, log, history and audit log.
 */
import { type ChildProcess, type ForkOptions, fork } from 'node:child_process';
import { join } from 'node:path';
import { isSea } from 'node:sea';
import { SidecarError } from '../../core/errors.ts';
import { createQuotas } from '../../proxy/rate-limits.ts';
import type { CallerPort, CallerPortOptions } from '../data-plane/in-process.ts';
import { createRollCall, type RollCall } from './barrier.ts';
import { createEditions, type Editions } from './config-leases.ts';
import { createHandover, type Handover } from './connection-handoff.ts';
import { createPool, type Pool, type Worker } from './process-pool.ts';
import type { Question, Reply, ToEngine, ToWorker } from './protocol.ts';
import { type AccountData, createAccountData } from './report-sink.ts';
import { createPlaces, type Places } from './shared-limits.ts';
import { createTokenDesk, type TokenDesk } from './token-broker.ts';

/** How long metrics wait for workers that are busy. */
const SETTLE_MS = 250;

/** Starts the workers. */
export function createWorkerPort(options: CallerPortOptions): CallerPort {
  const { config } = options.generations.current().loaded;
  const broadcast = (message: ToWorker) => pool.broadcast(() => message);
  const parts = createParts(options, broadcast, () => pool.ready());
  const { desk, editions, accountData, handover, reports, drains } = parts;
  const state = { draining: false };
  const pool = openPool(options, parts, state);
  options.auditor?.watch((failing) => broadcast({ kind: 'audit', failing }));
  const settled = () => settle(pool.ready(), reports);
  return {
    createListener: (tls) => handover.createListener(tls !== undefined),
    ready: () =>
      pool.started().catch((cause: unknown) => {
        throw new SidecarError('SIDECAR_INTERNAL', { cause, fields: { reason: 'a worker did not start' } });
      }),
    inFlight: accountData.inFlight,
    upstreams: accountData.upstreams,
    workers: () => ({ configured: config.workers, running: pool.ready().length, each: accountData.usage() }),
    settled,
    reloaded: () => pool.broadcast((worker) => ({ kind: 'settings', settings: editions.settingsFor(worker) })),
    tokensChanged: desk.sync,
    async drain() {
      state.draining = true;
      const drained = drains.begin(pool.ready());
      broadcast({ kind: 'drain' });
      await drained;
    },
    cut: () => broadcast({ kind: 'cut' }),
    async close() {
      await settled();
      handover.close();
      await pool.close();
    },
  };
}

function createParts(
  { generations, hosts, clock, ...options }: CallerPortOptions,
  broadcast: (message: ToWorker) => void,
  ready: Pool['ready'],
): Parts {
  const { workers: count, limits } = generations.current().loaded.config;
  const desk = createTokenDesk({ broadcast, clock });
  const current = () => ({ number: generations.snapshot().generation, edition: generations.current() });
  const beforeEach = createAnnouncement(hosts, broadcast);
  const reports = createRollCall();
  return {
    desk,
    editions: createEditions({ current, count, desk }),
    accountData: createAccountData(options),
    places: createPlaces({
      quotas: createQuotas(() => clock.now().monotonicMs),
      heard: () => settle(ready(), reports),
    }),
    handover: createHandover({ ready, count, limit: limits.connections, beforeEach }),
    reports,
    drains: createRollCall(),
  };
}

function openPool(options: CallerPortOptions, parts: Parts, state: { readonly draining: boolean }): Pool {
  const { auditor, hosts, log, metrics } = options;
  const { config, workerEnv } = options.generations.current().loaded;
  const { editions, accountData, places, handover, reports, drains } = parts;
  const audit = () =>
    config.audit && { whenFailing: config.audit.whenFailing, failing: auditor?.snapshot().failing !== undefined };
  return createPool({
    count: config.workers,
    launch: () => launch(workerEnv),
    log,
    greeting: (worker) => ({
      ...{ kind: 'start', settings: editions.settingsFor(worker) },
      ...{ hosts: [...hosts], audit: audit() },
    }),
    onMessage: createReceive(parts, auditor),
    onReady(worker) {
      handover.ready();
      if (state.draining) worker.send({ kind: 'drain' });
    },
    onGone(worker, unexpected) {
      if (unexpected) metrics.workerRestarted();
      for (const part of [editions, accountData, places, handover]) part.gone(worker);
      for (const call of [reports, drains]) call.responded(worker);
    },
  });
}

interface Parts {
  readonly desk: TokenDesk;
  readonly editions: Editions;
  readonly accountData: AccountData;
  readonly places: Places;
  readonly handover: Handover;
  readonly reports: RollCall;
  readonly drains: RollCall;
}

function createReceive(
  parts: Parts,
  auditor: CallerPortOptions['auditor'],
): (worker: Worker, message: ToEngine) => void {
  const { desk, editions, accountData, places, handover, reports, drains } = parts;
  const response = (worker: Worker, id: number, question: Question): Promise<Reply> => {
    if (question.about === 'token') return desk.response(question);
    const { callers, routes } = editions.find(question.generation)?.loaded.config ?? {};
    const route = routes?.find(({ path }) => question.route === `route ${path}`);
    const claims = [
      { owner: question.caller, limits: callers?.limits ?? {} },
      { owner: question.route, limits: route?.limits ?? {} },
    ] as const;
    return places.enter(worker, id, claims);
  };
  return (worker, message) => {
    switch (message.kind) {
      case 'taken':
        handover.taken(worker, message.id);
        break;
      case 'closed':
        handover.closed(worker, message.count);
        break;
      case 'question':
        void reply(worker, message.id, response(worker, message.id, message.question));
        break;
      case 'leave':
        places.leave(worker, message.id);
        break;
      case 'report':
        accountData.enter(worker, message.report);
        if (message.asked) reports.responded(worker);
        break;
      case 'fact':
        auditor?.append(message.facts);
        break;
      case 'retired':
        editions.retired(worker, message.generation);
        break;
      case 'drained':
        drains.responded(worker);
        break;
    }
  };
}

async function reply(worker: Worker, id: number, response: Promise<Reply>): Promise<void> {
  worker.send({ kind: 'response', id, result: await response });
}

/** Names become known when listeners are bound, one after the other. */
function createAnnouncement(hosts: ReadonlySet<string>, broadcast: (message: ToWorker) => void): () => void {
  let told = hosts.size;
  return () => {
    if (told === hosts.size) return;
    told = hosts.size;
    broadcast({ kind: 'hosts', hosts: [...hosts] });
  };
}

async function settle(workers: readonly Worker[], reports: RollCall): Promise<void> {
  const reported = reports.begin(workers);
  for (const worker of workers) worker.send({ kind: 'report' });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, SETTLE_MS);
  });
  await Promise.race([reported, late]);
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
