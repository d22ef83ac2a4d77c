/**
 * Waits until every worker there was has said something, or is gone.
 */
import type { Worker } from './process-pool.ts';

export interface RollCall {
  /** Resolves when all of these have answered. */
  begin(workers: Iterable<Worker>): Promise<void>;
  /** Of a worker that is gone, too, since nobody waits for it. */
  responded(worker: Worker): void;
}

export function createRollCall(): RollCall {
  const open = new Set<{ readonly missing: Set<Worker>; readonly resolve: () => void }>();
  return {
    begin(workers) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const call = { missing: new Set(workers), resolve };
      if (call.missing.size === 0) resolve();
      else open.add(call);
      return promise;
    },
    responded(worker) {
      for (const call of open) {
        call.missing.delete(worker);
        if (call.missing.size > 0) continue;
        open.delete(call);
        call.resolve();
      }
    },
  };
}
