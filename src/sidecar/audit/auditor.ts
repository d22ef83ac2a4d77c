/**
 * The audit log as requests use it: which calls are audited, whether a call may go ahead while the log cannot be written,
 * and how problems are reported. Opens only a log that no other process writes.
 */
import { type Stats, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Config } from '../../config/schema.ts';
import { SidecarError } from '../../core/errors.ts';
import type { Words } from '../../core/failure.ts';
import type { Log } from '../../core/log.ts';
import type { Metrics } from '../../core/metrics.ts';
import { isSafe } from '../../proxy/admission.ts';
import type { AuditTrail } from '../../proxy/exchange.ts';
import type { Facts } from './hash-chain.ts';
import { inUse, obstacle } from './obstacles.ts';
import { type AuditLog, type AuditOptions, type Entry, openAuditLog } from './writer.ts';
import { lockForWriting, type WriterLock } from './writer-lock.ts';

export interface Auditor extends AuditTrail<Entry> {
  /** Whether calls of this method are audited: all but safe ones. @throws SidecarError SIDECAR_AUDIT_FAILED when refused */
  begin(method: string): boolean;
  /** Checks whether the file was moved, and opens the current one. */
  reopen(): void;
  /** For `/status`. */
  snapshot(): {
    readonly file: string;
    readonly seq: number;
    readonly hash: string;
    readonly failing: string | undefined;
    readonly whenFailing: 'refuse' | 'report';
  };
  close(): Promise<void>;
}

/**
 * Opens the configured audit log; undefined when none is configured.
 * @throws SidecarError SIDECAR_AUDIT_FAILED when its file cannot be used or another process writes it
 * @example
 * const auditor = await openAuditor(config, log, metrics);
 * await auditor?.close();
 */
export async function openAuditor({ audit }: Config, log: Log, metrics: Metrics): Promise<Auditor | undefined> {
  if (!audit) return undefined;
  const { file: path, maxSize: maxBytes, fsync, whenFailing } = audit;
  const lock = await lockForWriting(path);
  if (lock.heldBy !== undefined) throw unusable(path, inUse(lock.heldBy));
  const options = { file: path, maxBytes, fsync, now: Date.now, ...report(log, metrics) };
  const file = await openFile(options, lock);
  for (const problem of risks(path, lock)) log.warn('audit log', { file: path, problem });
  return {
    begin(method) {
      if (isSafe(method)) return false;
      const code = file.failing();
      if (whenFailing === 'refuse' && code !== undefined) throw notWritten(code);
      return true;
    },
    append: file.append,
    ...(fsync === 'always' && { onDisk: file.onDisk }),
    reopen: file.reopen,
    snapshot: () => ({ file: path, ...file.head(), failing: file.failing(), whenFailing }),
    async close() {
      const lines = await file.close();
      if (lines > 0) log.error('audit entries are lost: they could not be written', { file: path, reason: `${lines}` });
      lock.release?.();
    },
  };
}

/** The error of a call that must not go ahead without an audit entry. */
function notWritten(code: string): SidecarError {
  const { message, ...words } = obstacle({ code });
  const failure = { ...words, host: 'localhost', message: `the audit log cannot be written: ${message}` };
  return new SidecarError('SIDECAR_AUDIT_FAILED', { retryAfterS: 1, mayHaveExecuted: false, failure });
}

async function openFile(options: AuditOptions, lock: WriterLock): Promise<AuditLog> {
  try {
    return await openAuditLog(options);
  } catch (error) {
    lock.release?.();
    throw unusable(options.file, obstacle(error));
  }
}

function unusable(where: string, failure: Words): SidecarError {
  const problems = [{ where, path: 'audit.file', message: failure.message }];
  return new SidecarError('SIDECAR_AUDIT_FAILED', { problems, failure });
}

function report(log: Log, metrics: Metrics): Pick<AuditOptions, 'onState' | 'onEvent'> {
  return {
    onState(errno, problem) {
      metrics.auditFailing(errno !== undefined);
      if (errno === undefined) log.info('the audit log can be written again');
      else log.error('the audit log cannot be written', { errno, problem });
    },
    onEvent({ event, reason, problem, errno }) {
      const entry = EVENTS[String(event)];
      if (entry) log[entry.level](entry.message, { ...text({ reason, problem, errno }) });
    },
  };
}

const EVENTS: Readonly<Record<string, { readonly level: 'info' | 'warn' | 'error'; readonly message: string }>> = {
  reopened: { level: 'info', message: 'the audit log continues in a new file' },
  truncated: { level: 'error', message: 'another program truncated the audit log: lines may be lost' },
  extended: { level: 'error', message: 'another program wrote to the audit log: its hash chain is broken' },
  broken: { level: 'error', message: 'the audit log was already broken before this start' },
  'not set aside': { level: 'warn', message: 'the audit log cannot be rotated, so it keeps growing' },
};

function text(fields: Facts): Readonly<Record<'reason' | 'problem' | 'errno', string | undefined>> {
  const of = (name: string) => (fields[name] === undefined ? undefined : String(fields[name]));
  return { reason: of('reason'), problem: of('problem'), errno: of('errno') };
}

/** Returns risks that can be seen at start: no lock, wrong owner, open permissions. Windows has no such modes. */
function risks(path: string, { code }: WriterLock): string[] {
  const found = code === undefined ? [] : [`cannot be locked (${code}): make sure that no other sidecar writes it`];
  const self = process.getuid?.();
  if (self === undefined) return found;
  const stats = statSync(path);
  if (isOpenToAll(stats)) found.push('can be written by everybody on this machine: chmod o-w');
  if (stats.uid !== self && stats.uid !== 0) found.push(`belongs to user ${stats.uid}, who can change it: chown it`);
  if (isOpenToAll(statSync(dirname(path))))
    found.push('is in a folder that everybody on this machine can write to: use a folder of its own');
  return found;
}

const isOpenToAll = ({ mode }: Stats) => (mode & 0o002) !== 0;
