/**
 * A worker process: the data path of a sidecar, as a process that never has a client secret. It gets connections and
 * tokens from the engine, tells it what happened, does what it says and ends with it.
 */
import type { Server } from 'node:http';
import { Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { TlsFiles } from '../../config/secret-files.ts';
import { systemClock } from '../../core/clock.ts';
import { createLog, type Log } from '../../core/log.ts';
import type { Claim } from '../../proxy/rate-limits.ts';
import type { Proxy as CallerPort } from '../../proxy/server.ts';
import { createAuditGate } from '../audit/auditor.ts';
import { createCallerSide } from '../data-plane/data-plane.ts';
import { createWorkerGeneration, createWorkerGenerations, type WorkerGeneration } from '../data-plane/generation.ts';
import { createIntake } from './connection-intake.ts';
import type { Question, ToEngine, ToWorker } from './protocol.ts';
import { createOutbox, type Outbox } from './report-buffer.ts';
import { createQuestions, type Questions, reviveError } from './rpc.ts';

type Start = Extract<ToWorker, { kind: 'start' }>;
type Receive = (message: ToWorker, socket: Socket | undefined) => void;
type Send = (message: ToEngine, done?: () => void) => void;

/** Resolves with the exit code when the engine lets go of it, however that comes about. */
export function runWorker(): Promise<number> {
  // They go to all processes of a terminal or a service; when to stop is the engine's to say.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK'] as const) process.on(signal, () => undefined);
  const send: Send = (message, done) => void process.send?.(message, undefined, undefined, () => done?.());
  let receive: Receive | undefined;
  process.on('message', (message: ToWorker, socket: Socket | undefined) => {
    if (message.kind === 'start') receive = startWorker(message, send);
    else receive?.(message, socket);
  });
  return new Promise((resolve) => process.once('disconnect', () => resolve(0)));
}

/** Builds everything and says that it is ready. */
function startWorker(start: Start, send: Send): Receive {
  const questions = createQuestions(send);
  const outbox = createOutbox({
    send: (report, asked, done) => send({ kind: 'report', report, asked }, done),
    upstreams: () => generations.current().upstreams(),
  });
  const log = createLog({ level: start.settings.level, format: 'json', write: outbox.line });
  const { metrics } = outbox;
  const ask = (question: Question) => questions.ask(question).response;
  const generations = createWorkerGenerations(start.settings, {
    build: (settings) => createWorkerGeneration(settings, { ask, metrics, clock: systemClock }),
    onRetired: (generation) => send({ kind: 'retired', generation }),
  });
  const hosts = new Set(start.hosts);
  const audit = { failing: start.audit?.failing ?? false };
  const { proxy } = createCallerSide<WorkerGeneration>({
    config: start.settings.config,
    current: generations.current,
    hosts,
    enter: ({ number }, caller, route) => enter(questions, send, { number, caller, route }),
    log,
    metrics,
    onFinished: outbox.finished,
    auditor: start.audit && {
      begin: createAuditGate(start.audit.whenFailing, () => audit.failing),
      append: (facts) => send({ kind: 'fact', facts }),
    },
  });
  const receive = createReceive({ send, questions, outbox, log, generations, hosts, audit, proxy });
  send({ kind: 'ready' });
  return receive;
}

interface Parts {
  readonly send: Send;
  readonly questions: Questions;
  readonly outbox: Outbox;
  readonly log: Log;
  readonly generations: ReturnType<typeof createWorkerGenerations>;
  readonly hosts: Set<string>;
  readonly audit: { failing: boolean };
  readonly proxy: CallerPort;
}

type Handlers = { readonly [kind in ToWorker['kind']]?: (message: Extract<ToWorker, { kind: kind }>) => void };

function createReceive({ send, questions, outbox, log, generations, hosts, audit, proxy }: Parts): Receive {
  const servers = openServers(proxy, generations.current().loaded.tls.get('callers'));
  const intake = createIntake({ send, serverFor: (secure) => (secure ? servers.secure : servers.plain) });
  const handlers: Handlers = {
    settings({ settings }) {
      generations.replace(settings);
      const tls = settings.tls.get('callers');
      if (tls) servers.secure?.setSecureContext(tls);
      log.setLevel(settings.level);
    },
    hosts: (message) => message.hosts.forEach((host) => void hosts.add(host)),
    token: ({ generation, source, token }) => generations.find(generation)?.tokens[source]?.accept(token),
    response: ({ id, result }) => questions.responded(id, result),
    audit: ({ failing }) => void Object.assign(audit, { failing }),
    // After what is just ending: streams take a turn of the event loop to say that they are closed.
    report: () => void setImmediate(() => setImmediate(outbox.response)),
    drain() {
      for (const server of [servers.plain, servers.secure]) server?.close();
      void proxy.drain().then(() => {
        outbox.flush();
        send({ kind: 'drained' });
      });
    },
    cut: proxy.cut,
  };
  return (message, socket) => {
    if (message.kind === 'connection') intake.take(socket, message.id, message.secure);
    // The table has the right function for each kind, which its type cannot tell from here.
    else (handlers[message.kind] as ((message: ToWorker) => void) | undefined)?.(message);
  };
}

/** Connections come from elsewhere, so they never listen; but so far as they know they do. */
function openServers(proxy: CallerPort, tls: TlsFiles | undefined): { plain: Server; secure: TlsServer | undefined } {
  const plain = proxy.createListener(undefined);
  const secure = tls && proxy.createListener(tls);
  // With this they begin to look for callers that are too slow.
  for (const server of [plain, secure]) server?.emit('listening');
  return { plain, secure: secure instanceof TlsServer ? secure : undefined };
}

interface Place {
  readonly number: number;
  readonly caller: Claim;
  readonly route: Claim;
}

/** Without limits there is nothing to ask for. */
function enter(questions: Questions, send: Send, { number, caller, route }: Place): (() => void) | Promise<() => void> {
  if (isFree(caller) && isFree(route)) return () => undefined;
  const question = { about: 'place', generation: number, caller: caller.owner, route: route.owner } as const;
  const { id, response } = questions.ask(question);
  return response.then((result) => {
    if (!result.ok) throw reviveError(result.error);
    return () => send({ kind: 'leave', id });
  });
}

function isFree({ limits: { inFlight, requestsPerMinute } }: Claim): boolean {
  return inFlight === undefined && requestsPerMinute === undefined;
}
