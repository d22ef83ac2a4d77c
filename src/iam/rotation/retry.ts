/**
 * Calls to Aritma IAM that are tried again when they fail in a way that may be over in a moment.
 */
import { SidecarError } from '../../core/errors.ts';
import type { Attempt } from './journal.ts';
import type { RotationClock } from './verification.ts';

/** What a rotation has done, or waits for. */
export interface Progress {
  readonly step: Attempt['phase'] | 'started' | 'refused' | 'retrying' | 'retired' | 'cleaned';
  readonly fields: Readonly<Record<string, string | number>>;
}

/** Pauses between tries of one call to IAM, ms. */
const PAUSES_MS = [1000, 3000, 10_000];

/** What may be over in a moment is tried again; `work` finds out by itself what has happened already. */
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
