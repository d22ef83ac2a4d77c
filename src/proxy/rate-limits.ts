/**
 * Limits per caller and per route, for all requests and for single methods: concurrent requests, and requests per minute.
 * Counts survive a reload of the configuration, so a reload does not reset a limit.
 */
import { LRUCache } from 'lru-cache';
import { SidecarError } from '../core/errors.ts';

interface Rate {
  readonly inFlight?: number | undefined;
  readonly requestsPerMinute?: number | undefined;
}

export interface QuotaLimits extends Rate {
  /** Additional limits for single methods. */
  readonly methods?: Readonly<Record<string, Rate>> | undefined;
}

/** One limit that a request counts against. */
export interface Claim {
  readonly owner: string;
  readonly limits: Rate;
}

/**
 * Counts a request against all claims or against none. The function it returns ends the request.
 * @throws SidecarError CALLER_LIMIT with `retryAfterS`: the time until all claims have room
 */
export type Enter = (claims: readonly Claim[]) => () => void;

const WINDOW_S = 60;

interface Usage {
  running: number;
  /** Requests begun in each of the last 60 seconds. */
  readonly perSecond: Uint32Array;
  /** The latest second counted. */
  latestS: number;
}

/**
 * Bounds memory, because names can come from certificates. Owners without running requests are kept by last use; one that is
 * dropped gets a full minute's budget again, but only after this many others have called.
 */
const MAX_IDLE_OWNERS = 4096;

/**
 * Creates the counters of one sidecar.
 * @param nowMs monotonic
 * @example
 * const leave = createQuotas(() => performance.now())(claimsOf('caller erp', { inFlight: 10 }, ['POST']));
 */
export function createQuotas(nowMs: () => number): Enter {
  /** Bounded by the number of running requests. */
  const busy = new Map<string, Usage>();
  const idle = new LRUCache<string, Usage>({ max: MAX_IDLE_OWNERS });
  const usageOf = (owner: string, nowS: number) => {
    const usage = busy.get(owner) ?? idle.get(owner) ?? newUsage(nowS);
    forgetOld(usage, nowS);
    return usage;
  };
  const leave = (owner: string, usage: Usage) => {
    usage.running -= 1;
    if (usage.running > 0) return;
    busy.delete(owner);
    idle.set(owner, usage);
  };
  return (claims) => {
    const nowS = Math.floor(nowMs() / 1000);
    const taken = claims.map(({ owner, limits }) => ({ owner, limits, usage: usageOf(owner, nowS) }));
    const [longest] = taken
      .map(({ owner, limits, usage }) => ({ owner, waitS: secondsUntilFree(usage, limits) }))
      .sort((a, b) => b.waitS - a.waitS);
    if (longest && longest.waitS > 0) refuse(longest.owner, longest.waitS);
    for (const { owner, usage } of taken) {
      busy.set(owner, usage);
      usage.running += 1;
      usage.perSecond[nowS % WINDOW_S] = (usage.perSecond[nowS % WINDOW_S] ?? 0) + 1;
    }
    return () => {
      for (const { owner, usage } of taken) leave(owner, usage);
    };
  };
}

/**
 * Returns the claims of a request: one for the owner's total, and one for each of its methods that has a limit. No name can
 * contain the separator ` / `, so a name never equals the method counter of another owner.
 */
export function claimsOf(owner: string, limits: QuotaLimits, methods: readonly string[]): Claim[] {
  const apart = Object.entries(limits.methods ?? {}).filter(([method]) => methods.includes(method));
  const claims = [
    { owner, limits },
    ...apart.map(([method, rate]) => ({ owner: `${owner} / ${method}`, limits: rate })),
  ];
  return claims.filter(({ limits: { inFlight, requestsPerMinute } }) => (inFlight ?? requestsPerMinute) !== undefined);
}

function newUsage(nowS: number): Usage {
  return { running: 0, perSecond: new Uint32Array(WINDOW_S), latestS: nowS };
}

function refuse(owner: string, retryAfterS: number): never {
  throw new SidecarError('CALLER_LIMIT', { retryAfterS, fields: { reason: owner } });
}

function forgetOld(usage: Usage, nowS: number): void {
  const passed = Math.min(WINDOW_S, nowS - usage.latestS);
  for (let back = 0; back < passed; back += 1) usage.perSecond[(nowS - back) % WINDOW_S] = 0;
  usage.latestS = nowS;
}

/** Returns 0 when there is room now. */
function secondsUntilFree({ running, perSecond, latestS }: Usage, { inFlight, requestsPerMinute }: Rate): number {
  const limit = requestsPerMinute ?? Number.POSITIVE_INFINITY;
  let used = perSecond.reduce((sum, count) => sum + count, 0);
  let passed = 0;
  // Oldest second first: when a second leaves the window, its requests no longer count.
  for (; passed < WINDOW_S && used >= limit; passed += 1) used -= perSecond[(latestS + 1 + passed) % WINDOW_S] ?? 0;
  return Math.max(passed, running >= (inFlight ?? Number.POSITIVE_INFINITY) ? 1 : 0);
}
