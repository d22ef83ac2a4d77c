/**
 * What is left of a request when it is over: one line in the log, one record in the metrics.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { SidecarError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { RouteMetrics } from '../metrics.ts';
import type { Exchange, Route } from './exchange.ts';

/** What the access log and the metrics want to know when a request is over. */
export interface Trace {
  readonly requestId: string;
  readonly startedAt: number;
  route?: Route;
  caller?: string;
  exchange?: Exchange;
  error?: SidecarError;
}

/** Told of every request that is over; `failure` of those that did not get an ordinary answer. */
export type OnFinished = (
  route: string | undefined,
  status: number,
  ms: number,
  failure: { readonly code: string | undefined; readonly requestId: string } | undefined,
) => void;

/** Once, when the response is closed. */
export function record(
  req: IncomingMessage,
  res: ServerResponse,
  { requestId, startedAt, route, caller, exchange, error }: Trace,
  { log, routeMetrics, onFinished }: { log: Log; routeMetrics: RouteMetrics; onFinished?: OnFinished },
): void {
  const ms = performance.now() - startedAt;
  const complete = res.writableFinished;
  const status = complete ? res.statusCode : 499;
  const method = req.method ?? '';
  const code = error?.code ?? (complete ? undefined : 'CALLER_ABORTED');
  routeMetrics.record(method, status, ms / 1000);
  onFinished?.(route?.path, status, ms, code || status >= 500 ? { code, requestId } : undefined);
  log.info('request', {
    requestId,
    route: route?.path,
    caller,
    method,
    path: pathOnly(req.url),
    status,
    code,
    errno: error?.extras.fields?.['errno'],
    bytesOut: exchange?.bytesOut,
    replayed: exchange?.replayed || undefined,
    ms: Math.round(ms * 100) / 100,
  });
}

/** Query strings hold account numbers and names; they are never logged. */
function pathOnly(url: string | undefined): string {
  const [path = ''] = (url ?? '').split('?', 1);
  return path.length > 256 ? `${path.slice(0, 256)}…` : path;
}
