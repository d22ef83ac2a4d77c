/**
 * What is left of a request when it is over: one line in the log, one record in the metrics.
 */

import type { Hash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ERRORS, type SidecarError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { RouteMetrics } from '../core/metrics.ts';
import type { Exchange, Route } from './exchange.ts';

/** What the access log and the metrics want to know when a request is over. */
export interface Trace {
  readonly requestId: string;
  readonly startedAt: number;
  readonly traceparent: string | undefined;
  /** Of the body, where the call is audited. */
  digest?: Hash | undefined;
  route?: Route;
  caller?: string;
  exchange?: Exchange;
  error?: SidecarError;
  /** Gives back its place among what the caller and the route may do. */
  leave?: () => void;
  /** Of everything behind the gate it came in through. */
  letGo?: () => void;
}

/** A request that is over; `failure` of one that did not get an ordinary answer. */
export type FinishedRequest = readonly [
  route: string | undefined,
  status: number,
  ms: number,
  failure: { readonly code: string | undefined; readonly requestId: string } | undefined,
  method: string,
];

export type OnFinished = (...request: FinishedRequest) => void;

/** Once, when the response is closed. */
export function record(
  req: IncomingMessage,
  res: ServerResponse,
  trace: Trace,
  { log, unrouted, onFinished, auditor }: RecordOptions,
): void {
  const { requestId, startedAt, route, caller, exchange, error, digest } = trace;
  const ms = performance.now() - startedAt;
  const complete = res.writableFinished;
  const status = complete ? res.statusCode : brokenStatus(error);
  const method = req.method ?? '';
  const code = error?.code ?? (complete ? undefined : 'CALLER_ABORTED');
  (route?.metrics ?? unrouted).record(method, status, ms / 1000);
  onFinished?.(route?.path, status, ms, code || status >= 500 ? { code, requestId } : undefined, method);
  const path = pathOnly(req.url);
  if (digest) {
    const sha256 = digest.digest('hex');
    const mayHaveExecuted = error?.extras.mayHaveExecuted;
    const facts = { requestId, caller, route: route?.path, method, path, status, code, mayHaveExecuted };
    auditor?.append({ event: 'request', ...facts, bodyComplete: req.complete, sha256 });
  }
  log.info('request', {
    requestId,
    traceparent: trace.traceparent,
    route: route?.path,
    caller,
    method,
    path,
    status,
    code,
    errno: error?.extras.fields?.['errno'],
    bytesIn: exchange && lengthOf(exchange),
    bytesOut: exchange?.bytesOut,
    upstreamMs: exchange?.upstreamMs,
    replayed: exchange?.replayed || undefined,
    ms: Math.round(ms * 100) / 100,
  });
}

export interface RecordOptions {
  readonly log: Log;
  /** Of requests that match no route. */
  readonly unrouted: RouteMetrics;
  readonly onFinished?: OnFinished | undefined;
  readonly auditor?:
    | { append(facts: Readonly<Record<string, string | number | boolean | undefined>>): void }
    | undefined;
}

/** An answer that broke off is the API's fault or the caller's. */
function brokenStatus(error: SidecarError | undefined): number {
  return error?.code.startsWith('UPSTREAM_') ? ERRORS[error.code].status : 499;
}

function lengthOf({ body }: Exchange): number | undefined {
  if (body.kind === 'stream') return body.length;
  return body.kind === 'buffer' ? body.data.length : undefined;
}

/** Query strings hold account numbers and names; they are never logged. */
function pathOnly(url = ''): string {
  const at = url.indexOf('?');
  const path = at === -1 ? url : url.slice(0, at);
  return path.length > 256 ? `${path.slice(0, 256)}…` : path;
}
