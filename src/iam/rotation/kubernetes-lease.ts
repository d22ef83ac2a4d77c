/**
 * Who is rotating a Secret, as an annotation on it. Pure.
 *
 * Time: a holder stamps its lease with the API server's clock (the `Date` of the response it has just read), and
 * whoever wants it next judges by that clock too, so the clocks of nodes do not matter. What is left is the difference
 * between several API servers, kept small by NTP, the whole seconds of `Date` and one lost request: the holder renews
 * every 15 s and is taken for dead after 75, which leaves a minute for all of it. A wrong verdict costs a rotation
 * started in vain and never the secret: every write is refused unless the lease is the writer's own in the very version
 * it changes.
 */
import { createHash } from 'node:crypto';

export interface Lease {
  /** The pod. */
  readonly host: string;
  /** Tells two of one pod apart. */
  readonly nonce: string;
  /** ISO 8601, as is the next. */
  readonly since: string;
  readonly renewedAt: string;
}

const DEAD_AFTER_MS = 75_000;

/**
 * An annotation, because `data` is what the kubelet writes into pods: a stamp in there would reload every reader every 15 s.
 * One for each key: two credentials in one Secret can be rotated at once. Hashed, as keys may be longer than an annotation's
 * name and begin with a dot.
 */
export function leaseName(key: string): string {
  return `aritma-sidecar/rotating-${createHash('sha256').update(key).digest('hex').slice(0, 12)}`;
}

/** Undefined for what no sidecar has written: nobody renews it, so it would never end. */
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

/** A stamp far in the future is of a clock that was set back since, and would hold everybody up until then. */
export function isDead({ renewedAt }: Lease, nowMs: number): boolean {
  return Math.abs(nowMs - Date.parse(renewedAt)) > DEAD_AFTER_MS;
}
