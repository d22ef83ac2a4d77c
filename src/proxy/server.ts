/**
 * The port callers use: plain node:http, nothing between a caller and the bank but the files of this folder. Holds the
 * order of steps for one request, the one place where errors become answers, and drains on the way out.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import { SidecarError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { CallerMetrics } from '../core/metrics.ts';
import { toProblem } from '../core/problem.ts';
import { type OnFinished, type RecordOptions, record, type Trace } from './access-log.ts';
import type { Admit, RequestLine } from './admission.ts';
import type { Connections } from './connections.ts';
import type { Exchange, Route } from './exchange.ts';
import { forward } from './forward.ts';
import { readRequestHead } from './headers.ts';
import { type Begin, certificateOf, createListener, type Listener, type ListenerTls } from './http-server.ts';
import { drainRequestBody } from './lingering-close.ts';
import { countForward } from './max-forwards.ts';
import { type BodyLimits, checkAnnounced, receiveBody } from './request-body.ts';
import { createRequestIds } from './request-ids.ts';
import { createDepartures } from './response-writer.ts';
import { asUpgrade } from './upgrade.ts';

/** What one generation of the configuration lets in, and how. */
export interface Gate {
  readonly admit: Admit<Route>;
  readonly limits: BodyLimits;
  /** From a request's arrival to its whole answer, ms. */
  readonly totalMs: number | undefined;
  /** Takes a place among what the caller and the route may do; what is returned gives it back. @throws CALLER_LIMIT */
  readonly enter: (caller: string, route: Route) => (() => void) | Promise<() => void>;
  /** Whether calls of this method leave a proof. @throws SIDECAR_AUDIT_FAILED while none can be kept */
  readonly audited: (method: string) => boolean;
  /** Keeps everything behind the gate until the request calls what is returned. */
  readonly hold: () => () => void;
}

export interface ProxyOptions {
  /** The gate in force; a request keeps the one it came in through. */
  readonly gate: () => Gate;
  /** Time a caller has for its request headers, ms. */
  readonly headersMs: number;
  readonly connections: Connections;
  readonly log: Log;
  readonly metrics: CallerMetrics;
  readonly onFinished?: OnFinished;
  /** Told of audited calls that are over. */
  readonly auditor?: RecordOptions['auditor'];
}

export interface Proxy {
  /** A new listener for every address; all of them share the counters. */
  createListener(tls: ListenerTls | undefined): Server;
  inFlight(): number;
  /** Answers from now on close their connection; resolves once no request is running and no tunnel open. */
  drain(): Promise<void>;
  /** Ends what still runs. */
  cut(): void;
}

export function createProxy(options: ProxyOptions): Proxy {
  const { metrics, connections } = options;
  const nextRequestId = createRequestIds();
  const recording = { ...options, unrouted: metrics.forRoute('none') };
  const listeners: Listener[] = [];
  const depart = createDepartures();
  let draining = false;

  const begin: Begin = (req, res, expectsContinue) => {
    const head = readRequestHead(req.rawHeaders);
    // Basic may be the caller's proof to us, anything else was meant for the API.
    if (head.authorizations.some((value) => !/^basic /i.test(value))) metrics.authorizationDropped();
    const { traceparent } = head;
    const startedAt = performance.now();
    const trace: Trace = { requestId: head.requestId ?? nextRequestId(), startedAt, traceparent };
    const before = connections.began(res);
    metrics.inFlight(1);
    if (draining) res.shouldKeepAlive = false;
    res.on('close', () => {
      metrics.inFlight(-1);
      record(req, res, trace, recording);
      trace.exchange?.attempt?.callerClosed();
      trace.leave?.();
      trace.letGo?.();
      connections.ended(res);
    });
    inTurn({ req, res, head, trace, expectsContinue, depart }, before, options.gate).catch((thrown: unknown) => {
      trace.error = fail(res, trace, thrown, options);
    });
  };

  return {
    createListener(tls) {
      const listener = createListener({ begin, headersTimeout: options.headersMs, tls, connections });
      listeners.push(listener);
      return listener.server;
    },
    inFlight: connections.inFlight,
    drain() {
      draining = true;
      for (const { endIdle } of listeners) endIdle();
      for (const res of connections.unfinished()) res.shouldKeepAlive = false;
      return connections.none();
    },
    cut() {
      for (const { req } of connections.unfinished()) req.socket.destroy();
    },
  };
}

/** After the request before it on the same connection: the next payment must not start before the fate of the last is known. */
function inTurn(incoming: Incoming, before: ServerResponse | undefined, gate: () => Gate): Promise<void> {
  if (before === undefined) return enter(incoming, gate());
  return afterClose(before).then(() => {
    // Its connection is about to be closed: what comes after the last answer is not looked at (RFC 9112 §9.6).
    if (!before.shouldKeepAlive) throw new SidecarError('CALLER_ABORTED');
    return enter(incoming, gate());
  });
}

/** Through the gate as it is now. */
function enter(incoming: Incoming, gate: Gate): Promise<void> {
  const { res, trace } = incoming;
  if (!res.closed) trace.letGo = gate.hold();
  return gate.totalMs === undefined ? run(incoming, gate) : inTime(gate.totalMs, trace, run(incoming, gate));
}

async function inTime(totalMs: number, trace: Trace, work: Promise<void>): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    if (trace.exchange?.attempt) trace.exchange.attempt.expire();
    else reject(new SidecarError('UPSTREAM_TIMEOUT', { mayHaveExecuted: false }));
  }, totalMs);
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** RFC 9112 §9.3.2. */
function afterClose(res: ServerResponse): Promise<void> {
  if (res.closed) return DONE;
  return new Promise((resolve) => res.once('close', resolve));
}

const DONE = Promise.resolve();

/** The one place where a failure becomes an answer. */
function fail(res: ServerResponse, trace: Trace, thrown: unknown, { log, metrics }: ProxyOptions): SidecarError {
  const { requestId, exchange } = trace;
  const error = thrown instanceof SidecarError ? thrown : new SidecarError('SIDECAR_INTERNAL', { cause: thrown });
  metrics.error(error.code);
  if (error.code === 'SIDECAR_INTERNAL') log.error('unexpected error', { requestId, reason: nameOf(thrown) });
  // A half-sent answer must look broken to the caller, never complete.
  if (res.headersSent || res.destroyed) {
    cut(res);
    return error;
  }
  // RFC 9110 §15.5.9; else the rest of the body could go on dripping.
  if (error.code === 'CALLER_TIMEOUT') res.shouldKeepAlive = false;
  const problem = toProblem(error, requestId);
  // Where a message ends that is not well-formed is anybody's guess.
  if (error.code === 'CALLER_REQUEST_INVALID') res.shouldKeepAlive = false;
  if (error.code === 'CALLER_BODY_TOO_LARGE') drainRequestBody(res.req);
  const headers = [...Object.entries(problem.headers).flat(), ...(exchange?.added ?? [])];
  res.writeHead(problem.status, headers).end(problem.body);
  return error;
}

/** By reset where there is such a thing: to an HTTP/1.0 caller an orderly close would mean a complete answer. */
function cut(res: ServerResponse): void {
  const { socket } = res;
  if (socket?.remoteFamily !== undefined && !socket.destroyed) socket.resetAndDestroy();
  res.destroy();
}

interface Incoming {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly head: ReturnType<typeof readRequestHead>;
  readonly trace: Trace;
  readonly expectsContinue: boolean;
  readonly depart: Exchange['depart'];
}

/** The life of one request, in order. Whatever it throws ends in the one catch above. */
async function run({ req, res, head, trace, expectsContinue, depart }: Incoming, gate: Gate): Promise<void> {
  const { route, path, caller } = gate.admit(readLine(req), head);
  trace.route = route;
  trace.caller = caller;
  const entered = gate.enter(caller, route);
  const leave = entered instanceof Promise ? await entered : entered;
  if (res.closed) leave();
  else trace.leave = leave;
  if (gate.audited(req.method ?? '')) trace.digest = createHash('sha256');
  const forwarded = countForward(req.method ?? '', head.forward);
  if (forwarded === 'ends here') {
    res.writeHead(200, { 'Content-Length': 0, 'X-Request-Id': trace.requestId }).end();
    return;
  }
  checkAnnounced(head, gate.limits);
  const upgrade = asUpgrade(res, route);
  const found = route.tokens.get();
  const token = found instanceof Promise ? await found : found;
  if (res.destroyed) throw new SidecarError('CALLER_ABORTED');
  // Only now: a caller that asked first must not upload what would be refused (RFC 9110 §10.1.1).
  if (expectsContinue) res.writeContinue();
  const received = receiveBody(req, head, trace.digest ? { ...gate.limits, digest: trace.digest } : gate.limits);
  const body = received instanceof Promise ? await received : received;
  const { requestId } = trace;
  const exchange: Exchange = {
    req,
    res,
    head: forwarded === head.forward ? head : { ...head, forward: forwarded },
    added: route.rewrite.added(req.method ?? '', forwarded),
    requestId,
    route,
    path,
    body,
    stallMs: gate.limits.idleMs,
    bytesOut: 0,
    replayed: false,
    depart,
    passed: gate.limits.passed,
    upgrade,
  };
  trace.exchange = exchange;
  await forward(exchange, token);
}

function readLine(req: IncomingMessage): RequestLine {
  const { method = '', url: target = '', httpVersion, rawHeaders, socket } = req;
  const headerCount = rawHeaders.length / 2;
  return {
    method,
    target,
    httpVersion,
    headerCount,
    secure: socket instanceof TLSSocket,
    certificate: certificateOf(socket),
  };
}

/** Of an unforeseen error only its class and code are shown: its message may quote anything. */
function nameOf(thrown: unknown): string {
  const { name, code } = thrown as { name?: unknown; code?: unknown };
  return [name, code].filter((part) => typeof part === 'string').join(' ');
}
