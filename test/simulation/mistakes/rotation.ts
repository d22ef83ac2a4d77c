/** Mistakes in the parts that only some worlds have: rotation, provisioning, audit log. */
import type { Mistake } from './mistakes.ts';

export const ROTATION_MISTAKES: Readonly<Record<string, Mistake>> = {
  'stores-unproven': {
    isUnproven: true,
    file: 'iam/rotation/rotate.ts',
    from: "phase: works ? 'verified' : 'abandoned'",
    to: "phase: works ? 'verified' : 'verified'",
  },
  'retires-at-once': {
    file: 'iam/rotation/rotate.ts',
    from: 'options.clock.now() < (attempt.retireAt ?? 0)',
    to: 'options.clock.now() < 0',
  },
  'creates-third': { file: 'iam/rotation/inventory.ts', from: 'if (another) {', to: 'if (another && nowMs < 0) {' },
  'does-not-flush': {
    isUnproven: true,
    file: 'iam/rotation/durable-file.ts',
    from: 'await flush(file);',
    to: '',
  },
  'gives-up-late': {
    isUnproven: true,
    file: 'iam/rotation/verification.ts',
    from: "if (remainingMs <= 0 && verdict === 'refused') return false;",
    to: 'if (remainingMs <= 0) return false;',
  },
  'never-gives-up': {
    isUnproven: true,
    file: 'iam/rotation/rotate.ts',
    from: "if (isThere) throw kept('the store has another secret');",
    to: "throw kept('the store has another secret');",
  },
  'forgets-first-secret': {
    isUnproven: true,
    file: 'iam/provision/first-secret.ts',
    from: 'await store.writeJournal(MEMORY.textOf({ ...journal, provision: first }));',
    to: '',
  },
  'forwards-before-audit': {
    isUnproven: true,
    file: 'proxy/audit-trail.ts',
    from: 'if (exchange.intent) await auditor.onDisk(exchange.intent);',
    to: '',
  },
  'keeps-torn-lines': {
    file: 'sidecar/audit/audit-file.ts',
    from: 'file.#torn = lostBytes > 0;',
    to: 'file.#torn = false; file.#size = size + lostBytes;',
  },
};
