/**
 * One request and its response: the state that the steps of the data path share. Also the context that all requests of a
 * server share, and the record at the end of a request: one log line and one metric record.
 */
import { type Hash, randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import { ERRORS, type SidecarError } from '../core/errors.ts';
import { failureFields } from '../core/failure.ts';
import type { Log } from '../core/log.ts';
import type { CallerMetrics, RouteMetrics } from '../core/metrics.ts';
import type { ReadAhead } from '../core/read-ahead.ts';
import type { RequestTrace, Tracing } from '../core/tracing.ts';
import type { Admit } from './admission.ts';
import { apiFailure, isOutOfOrder } from './api-errors.ts';
import type { Connections } from './connections.ts';
import { type FailedCall, idempotencyKeyOf, type OnFinished } from './failed-call.ts';
import { type RequestHead, readRequestHead } from './headers.ts';
import type { BodyLimits, RequestBody } from './request-body.ts';
import type { Route } from './route.ts';
import type { UpgradeResponse } from './upgrade.ts';

/** The rules of one configuration generation for requests. */
export interface Gate {
  readonly admit: Admit<Route>;
  /** Without `idleMs`, which is the route's. */
  readonly limits: Omit<BodyLimits, 'idleMs'>;
  /**
   * Counts a request against the limits of caller and route. Returns the function that ends it; undefined without limits.
   * @throws SidecarError CALLER_LIMIT
   */
  readonly enter: (caller: string, route: Route, methods: readonly string[]) => Entered | undefined;
  /** Whether calls of this method are audited. @throws SidecarError SIDECAR_AUDIT_FAILED while they must be refused */
  readonly audited: (method: string) => boolean;
  /** Keeps the generation open until `release`. */
  readonly hold: () => void;
  readonly release: () => void;
}

/** Ends a request that was counted. */
export type Entered = () => void;

/** A response whose end is to be written; `writeEnd` must not throw, because others of the batch follow. */
export interface Ending {
  writeEnd(): void;
}

/** Writes the end of this response together with others of this turn of the event loop. */
export type WriteBatch = (ending: Ending) => void;

/** Shared by all requests of a server. */
export interface ProxyContext {
  /** The current gate; a request keeps the gate that it entered through. */
  gate: Gate;
  draining: boolean;
  readonly connections: Connections;
  readonly log: Log;
  readonly metrics: CallerMetrics;
  /** Metrics of requests that match no route. */
  readonly unrouted: RouteMetrics;
  readonly onFinished?: OnFinished | undefined;
  readonly auditor?: AuditTrail | undefined;
  readonly tracing?: Tracing | undefined;
  readonly nextRequestId: () => string;
  readonly writeBatch: WriteBatch;
  readonly readAhead: ReadAhead;
  /** Called with the size of each piece of forwarded content that arrives in more than one piece. */
  readonly onForwarded: (bytes: number) => void;
}

/** The audit log, as requests use it. */
export interface AuditTrail<Entry = object> {
  /** Adds an entry; undefined when there is no room for it. @param of the entry that this one completes */
  append(facts: AuditFacts, of?: Entry): Entry | undefined;
  /** Resolves with whether the entry is on disk. Absent when calls do not wait for that. */
  onDisk?(entry: Entry): Promise<boolean>;
}

export type AuditFacts = Readonly<Record<string, string | number | boolean | undefined>>;

/** A try that is running or queued for the upstream. */
export interface Underway {
  /** Ends it with UPSTREAM_TIMEOUT, because its total time is over. */
  expire(): void;
  /** Called when the caller's side is closed, orderly or not. */
  callerClosed(): void;
}

const NO_BODY: RequestBody = { kind: 'none' };
const NO_HEADERS: readonly string[] = [];

/** The state of one request. */
export class Exchange {
  readonly context: ProxyContext;
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly head: RequestHead;
  readonly requestId: string;
  readonly trace: RequestTrace | undefined;
  readonly startedAt = performance.now();
  /** The gate that it entered through. */
  gate: Gate | undefined;
  route: Route | undefined;
  caller: string | undefined;
  /** Path and query for the upstream. */
  path = '';
  /** See `Admitted`. */
  methods: readonly string[] = NO_HEADERS;
  /** Flat headers to forward, after the route's changes. */
  forward: readonly string[] = NO_HEADERS;
  /** Flat headers that the sidecar adds to the request and its response. */
  added: readonly string[] = NO_HEADERS;
  body: RequestBody = NO_BODY;
  /** Hash of the body of an audited call. */
  digest: Hash | undefined;
  /** The audit entry written before sending, with `fsync: always`; `isConcluded` when the outcome's entry is written, too. */
  intent: object | undefined;
  isConcluded = false;
  /** `res`, when it may become a tunnel. */
  upgrade: UpgradeResponse | undefined;
  /** Longest time the caller may leave the response unread, ms. */
  idleMs = 0;
  /** One object, not several closures: with closures V8 keeps nearly every request until a full collection. */
  attempt: Underway | undefined;
  /** Forwarding has begun, so byte counts are logged. */
  isForwarded = false;
  /** From sending the request to the head of its response, ms. */
  upstreamMs: number | undefined;
  bytesOut = 0;
  /** How many tries have started to send. */
  sent = 0;
  /** Why it is sent a second time. */
  again: Parameters<Route['onReplay']>[0] | undefined;
  error: SidecarError | undefined;
  /** Ends the count against limits. */
  leave: Entered | undefined;

  constructor(context: ProxyContext, req: IncomingMessage, res: ServerResponse) {
    this.context = context;
    this.req = req;
    this.res = res;
    this.head = readRequestHead(req.rawHeaders);
    this.requestId = this.head.requestId ?? context.nextRequestId();
    this.trace = context.tracing?.begin(this.head.traceparents);
  }

  /** Notes that bytes of it may leave from now on. */
  countSent(): void {
    this.sent += 1;
    if (this.again) this.route?.onReplay(this.again);
  }

  get replayed(): boolean {
    return this.sent > 1;
  }

  /** Whether the API may have executed it: true once a try has started to send. */
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

  /** The sidecar's origin as the caller addressed it, for rewritten locations. */
  get callerOrigin(): string | undefined {
    const [host] = this.head.hosts;
    return host && `${this.req.socket instanceof TLSSocket ? 'https' : 'http'}://${host}`;
  }
}

/** Creates ids that are unique across restarts. */
export function createRequestIds(): () => string {
  const boot = randomBytes(6).toString('hex');
  let count = 0;
  return () => {
    count += 1;
    return `${boot}-${count.toString(36)}`;
  };
}

/** How a call ended; `code` only for a failure. */
export interface Outcome {
  readonly status: number;
  readonly code: string | undefined;
}

/** Records the request in log and metrics; called once, when the response is closed. */
export function record(exchange: Exchange): Outcome {
  const { context, req, res, requestId, route, caller, error, isForwarded } = exchange;
  const { log, unrouted, onFinished } = context;
  const ms = performance.now() - exchange.startedAt;
  const complete = res.writableFinished;
  const status = complete ? res.statusCode : brokenStatus(error);
  const method = req.method ?? '';
  const code = error?.code ?? (complete ? undefined : 'CALLER_ABORTED');
  (route?.metrics ?? unrouted).record(method, status, ms / 1000, exchange.trace?.ids);
  // Most calls succeed and need no details.
  const odd = code === undefined && status < 400 ? undefined : failureDetails(exchange, code, status);
  onFinished?.(route?.path, status, ms, odd?.failed);
  log[odd?.level ?? 'info']('request', {
    requestId,
    traceparent: exchange.trace?.recorded ?? exchange.head.traceparents?.[0],
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

/** Returns level and fields of the log line of an unsuccessful call, and its history record when it failed. */
function failureDetails(exchange: Exchange, code: string | undefined, status: number) {
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

/** The status of a response that broke off: that of an upstream error, else 499. */
function brokenStatus(error: SidecarError | undefined): number {
  return error?.code.startsWith('UPSTREAM_') ? ERRORS[error.code].status : 499;
}

function lengthOf({ body }: Exchange): number | undefined {
  return body.kind === 'stream' ? body.length : body.kind === 'buffer' ? body.data.length : undefined;
}
