/**
 * What has to be in order before the sidecar starts, beyond a valid configuration: one list, run by `serve`, which does not start
 * without it, and by the doctor, who only looks. Nothing here changes anything. Whether an address is free shows when it is
 * listened on.
 */
import type { LoadedConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { type ErrorCode, SidecarError } from '../core/errors.ts';
import type { Words } from '../core/failure.ts';
import type { Log } from '../core/log.ts';
import { formatAddress } from '../net/listen.ts';
import { auditObstacle, fullDisk } from './audit/preconditions.ts';
import { WAIT_MS } from './audit/writer-lock.ts';

/** Something that is not in order. */
export interface Shortfall extends Words {
  /** `error`: calls fail. */
  readonly level: 'error' | 'warning';
  /** `audit /var/log/aritma/audit.jsonl`. */
  readonly subject: string;
  readonly code: ErrorCode;
  /** `serve` does not start; else it starts and says so. */
  readonly stops: boolean;
}

/** In the order in which they should be mended. @param waitMs for another sidecar that is just ending */
export async function shortfalls({ config }: Pick<LoadedConfig, 'config'>, waitMs = 0): Promise<Shortfall[]> {
  return [...usedTwice(config), ...(await ofAudit(config, waitMs))];
}

/** @throws SidecarError with every shortfall that has the code of the first one that stops it */
export async function requirePreconditions(loaded: LoadedConfig, log: Log): Promise<void> {
  const found = await shortfalls(loaded, WAIT_MS);
  const [first] = found.filter(({ stops }) => stops);
  if (first) {
    const same = found.filter(({ stops, code }) => stops && code === first.code);
    // What to do about the first is said at the end; where there are several, beside each.
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
    // Port 0 is a different one each time.
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
  const about = { subject: `audit ${audit.file}`, code: 'SIDECAR_AUDIT_FAILED' } as const;
  const obstacle = await auditObstacle(audit.file, waitMs);
  if (obstacle) return [{ level: 'error', ...about, stops: true, ...obstacle }];
  const full = fullDisk(audit.file);
  if (!full) return [];
  const refuses = audit.whenFailing === 'refuse';
  const so = refuses ? 'calls that change something get 503' : 'calls continue without an audit entry';
  // Room can be made while it runs, and then it goes on by itself.
  return [{ level: refuses ? 'error' : 'warning', ...about, stops: false, ...full, message: `${full.message}: ${so}` }];
}
