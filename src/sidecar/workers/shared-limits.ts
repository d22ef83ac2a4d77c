/**
 * Limits that hold over all workers: their requests take places here, and a worker that is gone gives back all of its own.
 */
import { SidecarError } from '../../core/errors.ts';
import { type Claim, type Enter, enterBoth } from '../../proxy/rate-limits.ts';
import type { Worker } from './process-pool.ts';
import type { Reply } from './protocol.ts';

export interface PlacesOptions {
  readonly quotas: Enter;
  /** Resolves when everything that workers have said by now has been heard. */
  readonly heard: () => Promise<void>;
}

export interface Places {
  /** @param id under which the place is given back */
  enter(worker: Worker, id: number, claims: Claims): Promise<Reply>;
  leave(worker: Worker, id: number): void;
  gone(worker: Worker): void;
}

export type Claims = readonly [Claim, Claim];

export function createPlaces({ quotas, heard }: PlacesOptions): Places {
  const taken = new Map<Worker, Map<number, () => void>>();
  const left = new WeakSet<Worker>();
  const hear = inRounds(heard);
  const attempt = (worker: Worker, id: number, [caller, route]: Claims): Reply => {
    // It may have died while others were listened to.
    if (left.has(worker)) return { ok: true };
    try {
      const leave = enterBoth(quotas, caller, route);
      taken.set(worker, (taken.get(worker) ?? new Map()).set(id, leave));
      return { ok: true };
    } catch (error) {
      if (!(error instanceof SidecarError)) throw error;
      const { code, extras } = error;
      return { ok: false, waited: false, error: { code, retryAfterS: extras.retryAfterS, fields: extras.fields } };
    }
  };
  return {
    async enter(worker, id, claims) {
      const first = attempt(worker, id, claims);
      if (first.ok || claims.every(({ limits }) => limits.inFlight === undefined)) return first;
      // A caller can have an answer from one worker and be back with another one before the first has told us.
      await hear();
      return attempt(worker, id, claims);
    },
    leave(worker, id) {
      taken.get(worker)?.get(id)?.();
      taken.get(worker)?.delete(id);
    },
    gone(worker) {
      left.add(worker);
      for (const leave of taken.get(worker)?.values() ?? []) leave();
      taken.delete(worker);
    },
  };
}

/** One round at a time, and each caller gets one that began after it asked. */
function inRounds(round: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  const begin = (): Promise<void> => {
    running = round().finally(() => {
      running = undefined;
    });
    return running;
  };
  return () => {
    if (running === undefined) return begin();
    next ??= running.then(() => {
      next = undefined;
      return begin();
    });
    return next;
  };
}
