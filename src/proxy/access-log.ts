/**
 * What is left of a request when it is over: one line in the log, one record in the metrics, one line in the audit log;
 * where that has to be on disk before anybody can act on it, also one before the request is sent.
 */
import { ERRORS, type SidecarError } from '../core/errors.ts';
import type { AuditFacts, Exchange } from './exchange.ts';

/**
 * Before an audited request is sent. Resolves at once where its line need not be on disk.
 * @throws SidecarError SIDECAR_AUDIT_FAILED while none can be written
 */
export async function intend(exchange: Exchange): Promise<void> {
  const { context, gate, req, requestId, caller, route } = exchange;
  const { auditor } = context;
  if (!auditor?.onDisk) return;
  const method = req.method ?? '';
  const facts = { requestId, caller, route: route?.path, method, path: pathOnly(req.url) };
  exchange.intent = auditor.append({ event: 'intent', ...facts });
  if (exchange.intent) await auditor.onDisk(exchange.intent);
  exchange.methods.some((one) => gate?.audited(one));
}

/** Before a response leaves: resolves when the line about it is on disk. Undefined where nobody has to wait. */
export function conclude(exchange: Exchange, status: number): Promise<boolean> | undefined {
  const { context, intent, error } = exchange;
  if (!intent || exchange.isConcluded) return undefined;
  exchange.isConcluded = true;
  const entry = context.auditor?.append(outcome(exchange, status, error?.code), intent);
  return entry && context.auditor?.onDisk?.(entry);
}

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
  if (exchange.digest && !exchange.isConcluded)
    context.auditor?.append(outcome(exchange, status, code), exchange.intent);
  else if (exchange.isConcluded && !complete)
    context.auditor?.append({ event: 'broken', requestId, status, code, mayHaveExecuted }, exchange.intent);
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

function outcome(exchange: Exchange, status: number, code: string | undefined): AuditFacts {
  const { req, requestId, caller, route, digest } = exchange;
  const method = req.method ?? '';
  const mayHaveExecuted = code === undefined ? undefined : exchange.mayHaveExecuted;
  const facts = {
    requestId,
    caller,
    route: route?.path,
    method,
    path: pathOnly(req.url),
    status,
    code,
    mayHaveExecuted,
  };
  // A copy: while it is being responded to, more of the body may come.
  return { event: 'request', ...facts, bodyComplete: req.complete, sha256: digest?.copy().digest('hex') };
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
