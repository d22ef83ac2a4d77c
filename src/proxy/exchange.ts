/**
 * One request on its way: everything that the steps of the data path know of it and hand on to each other, in this one
 * object; what all requests of a port share; and what is left of a request when it is over: one line in the log, one
 * record in the metrics.
 */
import { type Hash, randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import { ERRORS, type SidecarError } from '../core/errors.ts';
import { failureFields } from '../core/failure.ts';
import type { Log } from '../core/log.ts';
import type { CallerMetrics, RouteMetrics } from '../core/metrics.ts';
import type { ReadAhead } from '../core/read-ahead.ts';
import type { Admit } from './admission.ts';
import { apiFailure, isOutOfOrder } from './api-errors.ts';
import type { Connections } from './connections.ts';
import { type FailedCall, idempotencyKeyOf, type OnFinished } from './failed-call.ts';
import { type RequestHead, readRequestHead } from './headers.ts';
import type { BodyLimits, RequestBody } from './request-body.ts';
import type { Route } from './route.ts';
import type { UpgradeResponse } from './upgrade.ts';

/** What one generation of the configuration lets in, and how. */
export interface Gate {
  readonly admit: Admit<Route>;
  readonly limits: BodyLimits;
  /** From a request's arrival to its whole response, ms. */
  readonly totalMs: number | undefined;
  /**
   * Counts a request against what the caller and the route may do; what is returned ends it, undefined where nothing is
   * limited. @throws SidecarError CALLER_LIMIT
   */
  readonly enter: (caller: string, route: Route, methods: readonly string[]) => Entered | undefined;
  /** Whether calls of this method leave a proof. @throws SidecarError SIDECAR_AUDIT_FAILED while none can be kept */
  readonly audited: (method: string) => boolean;
  /** Keeps the generation whole until `release`. */
  readonly hold: () => void;
  readonly release: () => void;
}

/** Ends a request that was counted. */
export type Entered = () => void;

/** Ends the response. May throw; the others are written all the same. */
export interface Ending {
  writeEnd(): void;
}

/** Takes what is to end in this turn. */
export type WriteBatch = (ending: Ending) => void;

/** What all requests of a port have in common. */
export interface ProxyContext {
  /** The gate in force; a request keeps the one it came in through. */
  gate: Gate;
  draining: boolean;
  readonly connections: Connections;
  readonly log: Log;
  readonly metrics: CallerMetrics;
  /** Of requests that match no route. */
  readonly unrouted: RouteMetrics;
  readonly onFinished?: OnFinished | undefined;
  readonly auditor?: AuditTrail | undefined;
  readonly nextRequestId: () => string;
  readonly writeBatch: WriteBatch;
  readonly readAhead: ReadAhead;
  /** Told how much content has gone through, of what comes in more than one piece. */
  readonly onForwarded: (bytes: number) => void;
}

/** Where audited calls leave their lines. */
export interface AuditTrail<Entry = object> {
  /** @param of the entry that this one completes. Undefined when it cannot be kept */
  append(facts: AuditFacts, of?: Entry): Entry | undefined;
  /** Resolves when the entry is on disk, or cannot be. Absent where no call waits for that. */
  onDisk?(entry: Entry): Promise<boolean>;
}

export type AuditFacts = Readonly<Record<string, string | number | boolean | undefined>>;

/** A try that is on its way to the upstream, or queued for it. */
export interface Underway {
  /** Gives up as late. */
  expire(): void;
  /** The caller's side is closed, orderly or not. */
  callerClosed(): void;
}

const NO_BODY: RequestBody = { kind: 'none' };
const NO_HEADERS: readonly string[] = [];

export class Exchange {
  readonly context: ProxyContext;
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly head: RequestHead;
  readonly requestId: string;
  readonly startedAt = performance.now();
  /** The one it came in through. */
  gate: Gate | undefined;
  route: Route | undefined;
  caller: string | undefined;
  /** Path and query for the upstream. */
  path = '';
  /** See `Admitted`. */
  methods: readonly string[] = NO_HEADERS;
  /** Flat headers to send on, as the route wants them. */
  forward: readonly string[] = NO_HEADERS;
  /** Flat headers of ours for the request and its response. */
  added: readonly string[] = NO_HEADERS;
  body: RequestBody = NO_BODY;
  /** Of the body, where the call is audited. */
  digest: Hash | undefined;
  /** The audit log's entry that it is about to be sent, where such are kept; `isConcluded` with one of what became of it. */
  intent: object | undefined;
  isConcluded = false;
  /** `res`, where it may become a tunnel. */
  upgrade: UpgradeResponse | undefined;
  /** Longest time the caller may leave our response unread, ms. */
  idleMs = 0;
  /** As closures in members of their own, the parts of a try would let V8 keep nearly every request until a full collection. */
  attempt: Underway | undefined;
  /** It was sent, or would have been: there are numbers of it to log. */
  isForwarded = false;
  /** From sending the request to the head of its response, ms. */
  upstreamMs: number | undefined;
  bytesOut = 0;
  /** How often it has begun to leave for the upstream. */
  sent = 0;
  /** Why it is to be sent a second time. */
  again: Parameters<Route['onReplay']>[0] | undefined;
  error: SidecarError | undefined;
  /** Ends what was counted against limits. */
  leave: Entered | undefined;

  constructor(context: ProxyContext, req: IncomingMessage, res: ServerResponse) {
    this.context = context;
    this.req = req;
    this.res = res;
    this.head = readRequestHead(req.rawHeaders);
    this.requestId = this.head.requestId ?? context.nextRequestId();
  }

  /** A byte of it may have left from now on. */
  countSent(): void {
    this.sent += 1;
    if (this.again) this.route?.onReplay(this.again);
  }

  get replayed(): boolean {
    return this.sent > 1;
  }

  /** By what has left, whatever failed afterwards. */
  get mayHaveExecuted(): boolean {
    return this.sent > 0 || this.error?.extras.mayHaveExecuted === true;
  }

  /** Query strings hold account numbers and names; they are never logged. */
  get loggedPath(): string {
    const { url = '' } = this.req;
    const at = url.indexOf('?');
    const path = at === -1 ? url : url.slice(0, at);
    return path.length > 256 ? `${path.slice(0, 256)}…` : path;
  }

  /** As the caller addressed us, for responses that point back. */
  get callerOrigin(): string | undefined {
    const [host] = this.head.hosts;
    return host && `${this.req.socket instanceof TLSSocket ? 'https' : 'http'}://${host}`;
  }
}

/** Unique over restarts. */
export function createRequestIds(): () => string {
  const boot = randomBytes(6).toString('hex');
  let count = 0;
  return () => {
    count += 1;
    return `${boot}-${count.toString(36)}`;
  };
}

/** How a call ended; `code` of a failure. */
export interface Outcome {
  readonly status: number;
  readonly code: string | undefined;
}

/** Once, when the response is closed. */
export function record(exchange: Exchange): Outcome {
  const { context, req, res, requestId, route, caller, error, isForwarded } = exchange;
  const { log, unrouted, onFinished } = context;
  const ms = performance.now() - exchange.startedAt;
  const complete = res.writableFinished;
  const status = complete ? res.statusCode : brokenStatus(error);
  const method = req.method ?? '';
  const code = error?.code ?? (complete ? undefined : 'CALLER_ABORTED');
  (route?.metrics ?? unrouted).record(method, status, ms / 1000);
  // Of a call that works nothing is to be told, and nearly all do.
  const odd = code === undefined && status < 400 ? undefined : oddity(exchange, code, status);
  onFinished?.(route?.path, status, ms, odd?.failed);
  log[odd?.level ?? 'info']('request', {
    requestId,
    traceparent: exchange.head.traceparent,
    route: route?.path,
    caller,
    method,
    path: exchange.loggedPath,
    status,
    code,
    ...odd?.fields,
    bytesIn: isForwarded ? lengthOf(exchange) : undefined,
    bytesOut: isForwarded ? exchange.bytesOut : undefined,
    upstreamMs: exchange.upstreamMs,
    replayed: exchange.replayed || undefined,
    ms: Math.round(ms * 100) / 100,
  });
  return { status, code };
}

/** What is told of a call that did not get what it asked for: its log fields, and, where it failed, for the history. */
function oddity(exchange: Exchange, code: string | undefined, status: number) {
  const { context, req, requestId, forward, added, route, error } = exchange;
  const mayHaveExecuted = code === undefined ? undefined : exchange.mayHaveExecuted;
  const failure = code === undefined ? route && apiFailure(status, route.place.target) : error?.extras.failure;
  if (failure) context.metrics.failure(failure.cause);
  const idempotencyKey = mayHaveExecuted ? idempotencyKeyOf(forward, added) : undefined;
  const failed: FailedCall = { code, failure, mayHaveExecuted, method: req.method ?? '', requestId, idempotencyKey };
  const { errno, refusedHost } = error?.extras.fields ?? {};
  return {
    level: isOutOfOrder(status) ? ('warn' as const) : ('info' as const),
    failed: code !== undefined || isOutOfOrder(status) ? failed : undefined,
    fields: { mayHaveExecuted, errno, refusedHost, ...failureFields(failure) },
  };
}

/** A response that broke off is the API's fault or the caller's. */
function brokenStatus(error: SidecarError | undefined): number {
  return error?.code.startsWith('UPSTREAM_') ? ERRORS[error.code].status : 499;
}

function lengthOf({ body }: Exchange): number | undefined {
  if (body.kind === 'stream') return body.length;
  return body.kind === 'buffer' ? body.data.length : undefined;
}
