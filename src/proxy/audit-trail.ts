/**
 * What an audited call leaves in the audit log: one line when it is over, or, where its line has to be on disk before anybody
 * can act on it, one before it is sent and one before its response leaves. Hides which of them a call has left already.
 */
import type { AuditFacts, Exchange, Outcome } from './exchange.ts';

/**
 * Before an audited request is sent. Resolves at once where its line need not be on disk.
 * @throws SidecarError SIDECAR_AUDIT_FAILED while none can be written
 */
export async function intend(exchange: Exchange): Promise<void> {
  const { auditor } = exchange.context;
  if (!auditor?.onDisk) return;
  exchange.intent = auditor.append({ event: 'intent', ...about(exchange) });
  if (exchange.intent) await auditor.onDisk(exchange.intent);
  // Asked once more: whether calls are let through may have changed with this very line.
  for (const method of exchange.methods) exchange.gate?.audited(method);
}

/** Before a response leaves: resolves when the line about it is on disk. Undefined where nobody has to wait. */
export function conclude(exchange: Exchange, status: number): Promise<boolean> | undefined {
  const { context, intent, error } = exchange;
  if (!intent || exchange.isConcluded) return undefined;
  exchange.isConcluded = true;
  const entry = context.auditor?.append(whole(exchange, { status, code: error?.code }), intent);
  return entry && context.auditor?.onDisk?.(entry);
}

/** When the call is over. */
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
  // A copy: while it is being responded to, more of the body may come.
  return { event: 'request', ...facts, bodyComplete: req.complete, sha256: digest?.copy().digest('hex') };
}

/** Said of failures alone. */
function mayHave(exchange: Exchange, { code }: Outcome): boolean | undefined {
  return code === undefined ? undefined : exchange.mayHaveExecuted;
}

function about({ requestId, caller, route, req, loggedPath }: Exchange) {
  return { requestId, caller, route: route?.path, method: req.method ?? '', path: loggedPath };
}
