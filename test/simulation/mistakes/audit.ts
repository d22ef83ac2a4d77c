/** In the audit log. */
import type { Mistake } from './mistakes.ts';

const FILE = 'sidecar/audit/audit-file.ts';

export const AUDIT_MISTAKES: Readonly<Record<string, Mistake>> = {
  'forwards-before-audit': {
    file: 'proxy/audit-trail.ts',
    from: 'if (exchange.intent) await auditor.onDisk(exchange.intent);',
    to: '',
  },
  'keeps-torn-lines': {
    file: FILE,
    from: 'file.#torn = lostBytes > 0;',
    to: 'file.#torn = false; file.#size = size + lostBytes;',
  },
  'audit-not-flushed': { file: FILE, from: 'if (synced) await flush(this.#handle);', to: '' },
  'goes-on-without-audit': {
    file: 'sidecar/audit/auditor.ts',
    from: "if (whenFailing === 'refuse' && code !== undefined)",
    to: "if (whenFailing === 'refuse' && code === null)",
  },
};
