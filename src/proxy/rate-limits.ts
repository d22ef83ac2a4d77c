/**
 * How much one caller or one route may do: requests at a time, and requests in any minute. Counts outlive a change of
 * the configuration, so that reloading is no way around a limit.
 */
import { LRUCache } from 'lru-cache';
import { SidecarError } from '../core/errors.ts';

export interface QuotaLimits {
  readonly inFlight?: number | undefined;
  readonly requestsPerMinute?: number | undefined;
}

/** Takes a place; what is returned gives it back. @throws SidecarError CALLER_LIMIT with `retryAfterS` */
export type Enter = (owner: string, limits: QuotaLimits) => () => void;

/** Whose limits, and what they are. */
export interface Claim {
  readonly owner: string;
  readonly limits: QuotaLimits;
}

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
  return (owner, { inFlight, requestsPerMinute }) => {
    if (inFlight === undefined && requestsPerMinute === undefined) return free;
    const nowS = Math.floor(nowMs() / 1000);
    const usage = busy.get(owner) ?? idle.get(owner) ?? newUsage(nowS);
    forgetOld(usage, nowS);
    if (usage.running >= (inFlight ?? Number.POSITIVE_INFINITY)) refuse(owner, 1);
    const retryAfterS = secondsUntilFree(usage, requestsPerMinute ?? Number.POSITIVE_INFINITY);
    if (retryAfterS > 0) refuse(owner, retryAfterS);
    busy.set(owner, usage);
    usage.running += 1;
    usage.perSecond[nowS % WINDOW_S] = (usage.perSecond[nowS % WINDOW_S] ?? 0) + 1;
    return () => {
      usage.running -= 1;
      if (usage.running > 0) return;
      busy.delete(owner);
      idle.set(owner, usage);
    };
  };
}

function newUsage(nowS: number): Usage {
  return { running: 0, perSecond: new Uint32Array(WINDOW_S), latestS: nowS };
}

/** Places under both, or under none. */
export function enterBoth(enter: Enter, first: Claim, second: Claim): () => void {
  const leaveFirst = enter(first.owner, first.limits);
  try {
    const leaveSecond = enter(second.owner, second.limits);
    if (leaveFirst === free && leaveSecond === free) return free;
    return () => {
      leaveFirst();
      leaveSecond();
    };
  } catch (error) {
    leaveFirst();
    throw error;
  }
}

function free(): void {
  // Nothing was taken.
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
function secondsUntilFree({ perSecond, latestS }: Usage, limit: number): number {
  let used = perSecond.reduce((sum, count) => sum + count, 0);
  // From the oldest second on: each one that leaves the window makes room for what it held.
  for (let passed = 0; passed < WINDOW_S; passed += 1) {
    if (used < limit) return passed;
    used -= perSecond[(latestS + 1 + passed) % WINDOW_S] ?? 0;
  }
  return WINDOW_S;
}
