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
  'response-before-audit': {
    file: 'proxy/response-writer.ts',
    from: 'const cleared = this.exchange.intent && conclude(this.exchange, this.exchange.res.statusCode);',
    to: 'void conclude(this.exchange, this.exchange.res.statusCode);\n    const cleared = undefined as Promise<boolean> | undefined;',
  },
  'audit-not-flushed': { file: FILE, from: 'if (synced) await flush(this.#handle);', to: '' },
  'goes-on-without-audit': {
    file: 'sidecar/audit/auditor.ts',
    from: "if (whenFailing === 'refuse' && code !== undefined)",
    to: "if (whenFailing === 'refuse' && code === null)",
  },
};
