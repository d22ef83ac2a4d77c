/**
 * What is left of a request when it is over: one line in the log, one record in the metrics.
 */
import { ERRORS, type SidecarError } from '../core/errors.ts';
import type { Exchange } from './exchange.ts';

/** Once, when the response is closed. */
export function record(exchange: Exchange): void {
  const { context, req, res, requestId, route, caller, error, isForwarded } = exchange;
  const { log, unrouted, onFinished } = context;
  const ms = performance.now() - exchange.startedAt;
  const complete = res.writableFinished;
  const status = complete ? res.statusCode : brokenStatus(error);
  const method = req.method ?? '';
  const code = error?.code ?? (complete ? undefined : 'CALLER_ABORTED');
  (route?.metrics ?? unrouted).record(method, status, ms / 1000);
  onFinished?.(route?.path, status, ms, code || status >= 500 ? { code, requestId } : undefined, method);
  const path = pathOnly(req.url);
  const mayHaveExecuted = code === undefined ? undefined : exchange.mayHaveExecuted;
  if (exchange.digest) {
    const sha256 = exchange.digest.digest('hex');
    const facts = { requestId, caller, route: route?.path, method, path, status, code, mayHaveExecuted };
    context.auditor?.append({ event: 'request', ...facts, bodyComplete: req.complete, sha256 });
  }
  log.info('request', {
    requestId,
    traceparent: exchange.head.traceparent,
    route: route?.path,
    caller,
    method,
    path,
    status,
    code,
    mayHaveExecuted,
    errno: error?.extras.fields?.['errno'],
    bytesIn: isForwarded ? lengthOf(exchange) : undefined,
    bytesOut: isForwarded ? exchange.bytesOut : undefined,
    upstreamMs: exchange.upstreamMs,
    replayed: exchange.replayed || undefined,
    ms: Math.round(ms * 100) / 100,
  });
}

/** A response that broke off is the API's fault or the caller's. */
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
