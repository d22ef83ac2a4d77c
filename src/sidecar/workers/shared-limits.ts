/**
 * Limits that hold over all workers: their requests are counted here, and those of a worker that is gone are over.
 */
import { SidecarError } from '../../core/errors.ts';
import type { Entered } from '../../proxy/exchange.ts';
import type { Link } from '../data-plane/gate.ts';
import type { Worker } from './process-pool.ts';
import type { PrimaryApi } from './protocol.ts';

export interface SharedLimits {
  /** @returns what `leave` ends it by @throws SidecarError CALLER_LIMIT */
  enter(worker: Worker, claims: Parameters<PrimaryApi['enter']>[0]): Promise<number>;
  leave(worker: Worker, id: number): void;
  gone(worker: Worker): void;
}

/** @param hear resolves when everything that workers have said by now has been heard */
export function createSharedLimits(enter: Link['enter'], hear: () => Promise<void>): SharedLimits {
  const entered = new Map<Worker, Map<number, Entered>>();
  const left = new WeakSet<Worker>();
  let latest = 0;
  return {
    async enter(worker, claims) {
      const tryOnce = async () => {
        const leave = await enter(...claims);
        // It may have died while others were listened to.
        if (left.has(worker)) leave();
        latest += 1;
        entered.set(worker, (entered.get(worker) ?? new Map()).set(latest, leave));
        return latest;
      };
      return await tryOnce().catch(async (error: unknown) => {
        const isRate = claims.every(({ limits }) => limits.inFlight === undefined);
        if (isRate || !(error instanceof SidecarError)) throw error;
        // A caller can have a response from one worker and be back with another one before the first has told us.
        await hear();
        return tryOnce();
      });
    },
    leave(worker, id) {
      entered.get(worker)?.get(id)?.();
      entered.get(worker)?.delete(id);
    },
    gone(worker) {
      left.add(worker);
      for (const leave of entered.get(worker)?.values() ?? []) leave();
      entered.delete(worker);
    },
  };
}
