/**
 * Retries calls to Aritma IAM after failures that may be temporary.
 */
import { SidecarError } from '../../core/errors.ts';
import type { Attempt } from './journal.ts';
import type { RotationClock } from './verification.ts';

/** A step that a rotation has done, or what it waits for. */
export interface Progress {
  readonly step: Attempt['phase'] | 'started' | 'refused' | 'retrying' | 'retired' | 'cleaned';
  readonly fields: Readonly<Record<string, string | number>>;
}

/** ms between the tries of one call. */
const PAUSES_MS = [1000, 3000, 10_000];

/**
 * Calls `work` up to four times while it fails with IAM_UNAVAILABLE or IAM_INVALID; waits for `Retry-After` if longer.
 * `work` itself must check what an earlier try has already done.
 * @throws what `work` throws last
 */
export async function retry<T>(
  { clock, onProgress }: { readonly clock: RotationClock; readonly onProgress?: (progress: Progress) => void },
  work: () => Promise<T>,
): Promise<T> {
  for (const pauseMs of PAUSES_MS) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof SidecarError) || !/^IAM_(UNAVAILABLE|INVALID)$/.test(error.code)) throw error;
      const waitMs = Math.max(pauseMs, (error.extras.retryAfterS ?? 0) * 1000);
      onProgress?.({ step: 'retrying', fields: { code: error.code, inS: Math.ceil(waitMs / 1000) } });
      await clock.sleep(waitMs);
    }
  }
  return work();
}
