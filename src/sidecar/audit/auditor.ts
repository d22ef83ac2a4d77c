/**
 * The audit log as the data path sees it: which calls it wants, whether a payment may go ahead while it cannot be written,
 * and what is told of one that is over.
 */

import type { Config } from '../../config/schema.ts';
import { SidecarError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Metrics } from '../../core/metrics.ts';
import { isSafe } from '../../proxy/admission.ts';
import type { Facts } from './hash-chain.ts';
import { type AuditLog, openAuditLog } from './writer.ts';

export interface Auditor {
  /** Whether a call with this method changes something. @throws SidecarError SIDECAR_AUDIT_FAILED if it must not go ahead */
  begin(method: string): boolean;
  append(facts: Facts): void;
  /** For `/status`. */
  snapshot(): {
    readonly file: string;
    readonly seq: number;
    readonly hash: string;
    readonly failing: string | undefined;
  };
  close(): Promise<void>;
}

/** Undefined when none is configured. @throws SidecarError SIDECAR_AUDIT_FAILED when its file cannot be used */
export async function openAuditor({ audit }: Config, log: Log, metrics: Metrics): Promise<Auditor | undefined> {
  if (!audit) return undefined;
  const file = await openFile(audit, (errno) => {
    metrics.auditFailing(errno !== undefined);
    if (errno === undefined) log.info('the audit log is written again');
    else log.error('the audit log cannot be written', { errno });
  });
  return {
    begin(method) {
      if (isSafe(method)) return false;
      const refuses = audit.whenFailing === 'refuse' && file.failing() !== undefined;
      if (refuses) throw new SidecarError('SIDECAR_AUDIT_FAILED', { retryAfterS: 1 });
      return true;
    },
    append: file.append,
    snapshot: () => ({ file: audit.file, ...file.head(), failing: file.failing() }),
    close: file.close,
  };
}

type AuditConfig = NonNullable<Config['audit']>;

async function openFile(audit: AuditConfig, onState: (errno: string | undefined) => void): Promise<AuditLog> {
  const { file, maxSize: maxBytes, fsync } = audit;
  try {
    return await openAuditLog({ file, maxBytes, fsync, now: Date.now, onState });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // Without a code it is ours, and says what is wrong with the file.
    throw new SidecarError('SIDECAR_AUDIT_FAILED', { cause: error, fields: { file, reason: code ?? message } });
  }
}
