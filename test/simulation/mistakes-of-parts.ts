/** Mistakes in the parts that only some worlds have: rotation, provisioning, audit log. */
import type { Mistake } from './mistakes.ts';

export const PART_MISTAKES: Readonly<Record<string, Mistake>> = {
  storesUnproven: {
    file: 'iam/rotation/rotate.ts',
    right: "phase: works ? 'verified' : 'abandoned'",
    wrong: "phase: works ? 'verified' : 'verified'",
  },
  retiresAtOnce: {
    file: 'iam/rotation/rotate.ts',
    right: 'options.clock.now() < (attempt.retireAt ?? 0)',
    wrong: 'options.clock.now() < 0',
  },
  createsThird: { file: 'iam/rotation/inventory.ts', right: 'if (another) {', wrong: 'if (another && nowMs < 0) {' },
  doesNotFlush: { file: 'iam/rotation/durable-file.ts', right: 'await flush(file);', wrong: '' },
  givesUpLate: {
    file: 'iam/rotation/verification.ts',
    right: "if (remainingMs <= 0 && verdict === 'refused') return false;",
    wrong: 'if (remainingMs <= 0) return false;',
  },
  neverGivesUp: {
    file: 'iam/rotation/rotate.ts',
    right: "if (isThere) throw kept('the store has another secret');",
    wrong: "throw kept('the store has another secret');",
  },
  forgetsFirstSecret: {
    file: 'iam/provision/first-secret.ts',
    right: 'await store.writeJournal(MEMORY.textOf({ ...journal, provision: first }));',
    wrong: '',
  },
  forwardsBeforeAudit: {
    file: 'proxy/audit-trail.ts',
    right: 'if (exchange.intent) await auditor.onDisk(exchange.intent);',
    wrong: '',
  },
  keepsTornLines: {
    file: 'sidecar/audit/audit-file.ts',
    right: 'file.#torn = lostBytes > 0;',
    wrong: 'file.#torn = false; file.#size = size + lostBytes;',
  },
};
