/**
 * How long to wait after a failed token request, so that an identity server in trouble is not attacked by its clients.
 */

/** Longest wait after transient failures. */
const MAX_BACKOFF_MS = 60_000;

/** No two attempts are closer than this, whatever servers or tokens say. */
const MIN_BACKOFF_MS = 1000;

/** Full jitter between 1 s and a bound that doubles from 2 s to 60 s. `failures` counts from 1. */
export function backoffMs(failures: number, random: number): number {
  const bound = Math.min(MAX_BACKOFF_MS, MIN_BACKOFF_MS * 2 ** Math.min(failures, 16));
  return MIN_BACKOFF_MS + (bound - MIN_BACKOFF_MS) * random;
}

/** After a clear no: 60 to 90 s, because servers lock clients out that keep asking. */
export function rejectionBackoffMs(random: number): number {
  return MAX_BACKOFF_MS * (1 + random / 2);
}
