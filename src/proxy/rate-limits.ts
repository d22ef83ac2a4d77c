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

/** The requests of one owner that this sidecar has begun, by second. */
export interface Counted {
  /** Those of the last minute: pairs of how many ms ago at least, and how many. */
  recent(): readonly (readonly [agoMs: number, count: number])[];
  /** Seconds until fewer than `limit` were begun in the last minute; 0 = now. */
  secondsUntilBelow(limit: number): number;
}

/** Who counts `requestsPerMinute`: each sidecar for itself, or several together. */
export interface Budgets {
  /** Seconds until the owner may begin one more request; 0 = now. Never throws. */
  secondsUntilFree(owner: string, limit: number, counted: Counted): number;
  /** Call for each request that is begun, at once after `secondsUntilFree` has returned 0. */
  take(owner: string): void;
}

/** Each sidecar counts for itself. */
export const OWN_BUDGETS: Budgets = {
  secondsUntilFree: (_owner, limit, counted) => counted.secondsUntilBelow(limit),
  take: () => undefined,
};

const WINDOW_S = 60;
/** One more, which began to leave the window, and may still be in it for others. */
const KEPT_S = WINDOW_S + 1;

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
export function createQuotas(nowMs: () => number, budgets: Budgets = OWN_BUDGETS): Enter {
  /** Bounded by the number of running requests. */
  const busy = new Map<string, Usage>();
  const idle = new LRUCache<string, Usage>({ max: MAX_IDLE_OWNERS });
  const usageOf = (owner: string) => busy.get(owner) ?? idle.get(owner) ?? new Usage(nowMs);
  const leave = (owner: string, usage: Usage) => {
    usage.running -= 1;
    if (usage.running > 0) return;
    busy.delete(owner);
    idle.set(owner, usage);
  };
  const waitS = (owner: string, usage: Usage, { inFlight, requestsPerMinute }: Rate) => {
    const tooMany = usage.running >= (inFlight ?? Number.POSITIVE_INFINITY) ? 1 : 0;
    if (requestsPerMinute === undefined) return tooMany;
    return Math.max(tooMany, budgets.secondsUntilFree(owner, requestsPerMinute, usage));
  };
  return (claims) => {
    const taken = claims.map(({ owner, limits }) => ({ owner, limits, usage: usageOf(owner) }));
    const [longest] = taken
      .map(({ owner, limits, usage }) => ({ owner, waitS: waitS(owner, usage, limits) }))
      .sort((a, b) => b.waitS - a.waitS);
    if (longest && longest.waitS > 0) refuse(longest.owner, longest.waitS);
    for (const { owner, usage, limits } of taken) {
      busy.set(owner, usage);
      if (limits.requestsPerMinute !== undefined) budgets.take(owner);
      usage.begin();
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

function refuse(owner: string, retryAfterS: number): never {
  throw new SidecarError('CALLER_LIMIT', { retryAfterS, fields: { reason: owner } });
}

class Usage implements Counted {
  running = 0;
  readonly #nowMs: () => number;
  /** Requests begun in each of the last seconds. */
  readonly #perSecond = new Uint32Array(KEPT_S);
  /** The latest second counted. */
  #latestS: number;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#latestS = secondOf(nowMs());
  }

  begin(): void {
    this.#forgetOld();
    this.running += 1;
    this.#perSecond[this.#latestS % KEPT_S] = this.#begunAt(this.#latestS) + 1;
  }

  recent(): (readonly [agoMs: number, count: number])[] {
    this.#forgetOld();
    const nowMs = this.#nowMs();
    const ago = (secondS: number) => Math.max(0, Math.floor(nowMs - (secondS + 1) * 1000));
    return Array.from({ length: KEPT_S }, (_, back) => this.#latestS - back)
      .map((secondS) => [ago(secondS), this.#begunAt(secondS)] as const)
      .filter(([, count]) => count > 0);
  }

  secondsUntilBelow(limit: number): number {
    this.#forgetOld();
    const oldestS = this.#latestS - WINDOW_S + 1;
    let used = 0;
    for (let secondS = oldestS; secondS <= this.#latestS; secondS += 1) used += this.#begunAt(secondS);
    let passed = 0;
    // Oldest second first: when a second leaves the window, its requests no longer count.
    for (; passed < WINDOW_S && used >= limit; passed += 1) used -= this.#begunAt(oldestS + passed);
    return passed;
  }

  #begunAt(secondS: number): number {
    return this.#perSecond[(secondS + KEPT_S) % KEPT_S] ?? 0;
  }

  #forgetOld(): void {
    const nowS = secondOf(this.#nowMs());
    const passed = Math.min(KEPT_S, nowS - this.#latestS);
    for (let back = 0; back < passed; back += 1) this.#perSecond[(nowS - back + KEPT_S) % KEPT_S] = 0;
    this.#latestS = nowS;
  }
}

function secondOf(ms: number): number {
  return Math.floor(ms / 1000);
}
