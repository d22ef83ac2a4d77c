/**
 * Preconditions for a start, beyond a valid configuration: `serve` does not start without them, `check` only reports them.
 * The checks change nothing. Whether an address is free shows when the sidecar listens on it.
 */
import type { LoadedConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { type ErrorCode, SidecarError } from '../core/errors.ts';
import type { Words } from '../core/failure.ts';
import type { Log } from '../core/log.ts';
import { formatAddress } from '../net/listen.ts';

/** A precondition that is not met. */
export interface Shortfall extends Words {
  /** `error`: calls fail. */
  readonly level: 'error' | 'warning';
  /** `audit /var/log/aritma/audit.jsonl`. */
  readonly subject: string;
  readonly code: ErrorCode;
  /** True: `serve` does not start. False: it starts and logs a warning. */
  readonly stops: boolean;
}

/**
 * Returns all unmet preconditions, in the order to fix them.
 * @param waitMs time for another sidecar that is just ending
 * @example
 * for (const { subject, message, fix } of await shortfalls(loaded)) print(subject, message, fix);
 */
export async function shortfalls({ config }: Pick<LoadedConfig, 'config'>, waitMs = 0): Promise<Shortfall[]> {
  return [...usedTwice(config), ...(await ofAudit(config, waitMs))];
}

/**
 * Logs warnings, and throws when a precondition prevents the start.
 * @throws SidecarError SIDECAR_LISTEN_FAILED | SIDECAR_AUDIT_FAILED with all problems that have the code of the first one
 */
export async function requirePreconditions(loaded: LoadedConfig, log: Log): Promise<void> {
  // The code of the audit log is loaded only where one is configured.
  const waitMs = loaded.config.audit ? (await import('./audit/writer-lock.ts')).WAIT_MS : 0;
  const found = await shortfalls(loaded, waitMs);
  const [first] = found.filter(({ stops }) => stops);
  if (first) {
    const same = found.filter(({ stops, code }) => stops && code === first.code);
    // A single problem's fix is printed at the end; several problems have theirs beside each.
    const problems = same.map(({ subject, message, fix }) => ({
      ...{ where: subject, path: '' },
      message: same.length === 1 ? message : `${message}; ${fix}`,
    }));
    const { cause, message, fix } = first;
    throw new SidecarError(first.code, { problems, failure: { cause, message, fix } });
  }
  for (const { subject, cause, message, fix } of found)
    log.warn('precondition', { cause, resource: subject, reason: message, fix });
}

function usedTwice({ listen, admin }: Config): Shortfall[] {
  const all = [
    ...listen.map((address) => ({ role: 'listen', address })),
    ...admin.map((address) => ({ role: 'admin', address })),
  ];
  const texts = all.map(({ address }) => formatAddress(address));
  return all.flatMap(({ role }, index) => {
    const text = texts[index] ?? '';
    // Port 0 is a different port each time.
    if (texts.indexOf(text) === index || text.endsWith(':0')) return [];
    return [
      {
        ...{ level: 'error', subject: `${role} ${text}`, code: 'SIDECAR_LISTEN_FAILED', stops: true },
        cause: 'listener_used_twice',
        message: 'this address is configured twice, for callers or for operators',
        fix: 'give `listen` and `admin` addresses of their own',
      } as const,
    ];
  });
}

async function ofAudit({ audit }: Config, waitMs: number): Promise<Shortfall[]> {
  if (!audit) return [];
  const { auditObstacle, fullDisk } = await import('./audit/preconditions.ts');
  const about = { subject: `audit ${audit.file}`, code: 'SIDECAR_AUDIT_FAILED' } as const;
  const obstacle = await auditObstacle(audit.file, waitMs);
  if (obstacle) return [{ level: 'error', ...about, stops: true, ...obstacle }];
  const full = fullDisk(audit.file);
  if (!full) return [];
  const refuses = audit.whenFailing === 'refuse';
  const so = refuses ? 'calls that change something get 503' : 'calls continue without an audit entry';
  // This does not prevent the start: the log recovers by itself when the disk has room again.
  return [{ level: refuses ? 'error' : 'warning', ...about, stops: false, ...full, message: `${full.message}: ${so}` }];
}
