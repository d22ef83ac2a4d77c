/**
 * Writes the audit entries of a call: one when it ends; or, with `fsync: always`, one before the request is sent and one
 * before its response leaves. Hides which of them are already written.
 */
import type { AuditFacts, Exchange, Outcome } from './exchange.ts';

/**
 * Called before an audited request is sent. Resolves at once when its entry need not be on disk.
 * @throws SidecarError SIDECAR_AUDIT_FAILED while entries cannot be written
 */
export async function intend(exchange: Exchange): Promise<void> {
  const { auditor } = exchange.context;
  if (!auditor?.onDisk) return;
  exchange.intent = auditor.append({ event: 'intent', ...about(exchange) });
  if (exchange.intent) await auditor.onDisk(exchange.intent);
  // Check again: writing this entry may have failed, and then the call must not go ahead.
  for (const method of exchange.methods) exchange.gate?.audited(method);
}

/** Called before a response leaves; resolves when its entry is on disk. Undefined when there is nothing to wait for. */
export function conclude(exchange: Exchange, status: number): Promise<boolean> | undefined {
  const { context, intent, error } = exchange;
  if (!intent || exchange.isConcluded) return undefined;
  exchange.isConcluded = true;
  const entry = context.auditor?.append(whole(exchange, { status, code: error?.code }), intent);
  return entry && context.auditor?.onDisk?.(entry);
}

/** Called at the end of the call: writes the entry, or one that the response broke off after its entry. */
export function endTrail(exchange: Exchange, outcome: Outcome): void {
  const { context, intent, requestId, isConcluded } = exchange;
  if (!isConcluded) context.auditor?.append(whole(exchange, outcome), intent);
  else if (!exchange.res.writableFinished) {
    context.auditor?.append(
      { event: 'broken', requestId, ...outcome, mayHaveExecuted: mayHave(exchange, outcome) },
      intent,
    );
  }
}

function whole(exchange: Exchange, outcome: Outcome): AuditFacts {
  const { req, digest } = exchange;
  const facts = { ...about(exchange), ...outcome, mayHaveExecuted: mayHave(exchange, outcome) };
  // A copy: more of the body may arrive during the response.
  return { event: 'request', ...facts, bodyComplete: req.complete, sha256: digest?.copy().digest('hex') };
}

/** Defined only for failures. */
function mayHave(exchange: Exchange, { code }: Outcome): boolean | undefined {
  return code === undefined ? undefined : exchange.mayHaveExecuted;
}

function about({ requestId, caller, route, req, loggedPath }: Exchange) {
  return { requestId, caller, route: route?.path, method: req.method ?? '', path: loggedPath };
}
