/**
 * The lease of whoever rotates a Secret, as an annotation on the Secret. Pure.
 *
 * Time: the holder stamps its lease with the API server's clock (`Date` of the response it just read). Others judge the
 * lease by that clock too, so the clocks of nodes do not matter. What remains is the difference between several API
 * servers, which NTP keeps small, the whole seconds of `Date`, and one lost request. The holder renews every 15 s and
 * counts as dead after 75 s, which leaves a minute for all of that. A wrong verdict costs a useless rotation attempt,
 * never the secret: a write is refused unless the version it changes has the writer's own lease.
 */
import { createHash } from 'node:crypto';

export interface Lease {
  /** Name of the pod. */
  readonly host: string;
  /** Tells two leases of one pod apart. */
  readonly nonce: string;
  /** ISO 8601, like `renewedAt`. */
  readonly since: string;
  readonly renewedAt: string;
}

const DEAD_AFTER_MS = 75_000;

/**
 * Returns the annotation's name for a key. An annotation, because the kubelet writes `data` into pods: a stamp there
 * would make every reader reload every 15 s. One per key, so that two credentials in one Secret can rotate at the same
 * time. Hashed, because a key may be longer than an annotation's name and may begin with a dot.
 */
export function leaseName(key: string): string {
  return `aritma-sidecar/rotating-${createHash('sha256').update(key).digest('hex').slice(0, 12)}`;
}

/** Parses a lease; undefined for text that no sidecar wrote: nobody renews that, so it must not lock. */
export function parseLease(text: unknown): Lease | undefined {
  try {
    const { host, nonce, since, renewedAt } = JSON.parse(String(text)) as Record<string, unknown>;
    const parts = [host, nonce, since, renewedAt];
    if (parts.some((part) => typeof part !== 'string') || Number.isNaN(Date.parse(String(renewedAt)))) return undefined;
    return { host: String(host), nonce: String(nonce), since: String(since), renewedAt: String(renewedAt) };
  } catch {
    return undefined;
  }
}

/** A stamp far in the future also counts as dead: the clock was set back since, and nobody could rotate until then. */
export function isDead({ renewedAt }: Lease, nowMs: number): boolean {
  return Math.abs(nowMs - Date.parse(renewedAt)) > DEAD_AFTER_MS;
}
