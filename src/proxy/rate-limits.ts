/**
 * How much one caller or one route may do, in all and by some methods: requests at a time, and requests in any minute. Counts
 * outlive a change of the configuration, so that reloading is no way around a limit.
 */
import { LRUCache } from 'lru-cache';
import { SidecarError } from '../core/errors.ts';

interface Rate {
  readonly inFlight?: number | undefined;
  readonly requestsPerMinute?: number | undefined;
}

export interface QuotaLimits extends Rate {
  /** What holds for some methods besides. */
  readonly methods?: Readonly<Record<string, Rate>> | undefined;
}

/** Whose limits, and what they are. */
export interface Claim {
  readonly owner: string;
  readonly limits: Rate;
}

/**
 * Takes a place under every claim, or under none; what is returned gives them back.
 * @throws SidecarError CALLER_LIMIT with `retryAfterS`, after which there is room under all of them
 */
export type Enter = (claims: readonly Claim[]) => () => void;

const WINDOW_S = 60;

interface Usage {
  running: number;
  /** Requests begun in each of the last 60 seconds. */
  readonly perSecond: Uint32Array;
  /** The second that was counted last. */
  latestS: number;
}

/**
 * Names of owners come from certificates too: of those with nothing running, the ones that were here last are remembered.
 * Whoever is forgotten has a whole minute's budget again, which takes this many others in between.
 */
const MAX_IDLE_OWNERS = 4096;

/** @param nowMs monotonic */
export function createQuotas(nowMs: () => number): Enter {
  /** As many as there are requests, at most. */
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
 * What a request counts under: all that its owner does, and what it does by each of the methods that have a limit. The sign
 * between them is in no name, so that no name can be another one's method.
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

/** 0 when there is room now. */
function secondsUntilFree({ running, perSecond, latestS }: Usage, { inFlight, requestsPerMinute }: Rate): number {
  const limit = requestsPerMinute ?? Number.POSITIVE_INFINITY;
  let used = perSecond.reduce((sum, count) => sum + count, 0);
  let passed = 0;
  // From the oldest second on: each one that leaves the window makes room for what it held.
  for (; passed < WINDOW_S && used >= limit; passed += 1) used -= perSecond[(latestS + 1 + passed) % WINDOW_S] ?? 0;
  return Math.max(passed, running >= (inFlight ?? Number.POSITIVE_INFINITY) ? 1 : 0);
}
