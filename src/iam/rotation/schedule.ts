/**
 * Computes when secrets expire and when to rotate them. Pure.
 */

import type { ClientSecret } from '../api.ts';
import type { Journal } from './journal.ts';

export interface Rhythm {
  /** ms between rotations. */
  readonly every: number;
  /** Lifetime of a new secret in ms. */
  readonly secretLifetime: number;
}

/**
 * Returns when to rotate, epoch ms: `every` after the last rotation, or after the journal began. Earlier if the secret
 * expires first, with the same reserve as a new one. A rotation under way is due when its next step is.
 * @param listedExpiry epoch ms; expiry in IAM of a secret that the journal does not know
 */
export function dueAt(journal: Journal, { every, secretLifetime }: Rhythm, listedExpiry?: number): number {
  const { attempt, since, rotatedAt, current } = journal;
  if (attempt) return attempt.phase === 'promoted' ? (attempt.retireAt ?? 0) : 0;
  const expiresAt = (current ? current.expiresAt : listedExpiry) ?? Number.POSITIVE_INFINITY;
  // IAM may give a secret less lifetime than the reserve; without this it would be replaced at once, again and again.
  const halfway = rotatedAt === undefined ? Number.NEGATIVE_INFINITY : (rotatedAt + expiresAt) / 2;
  return Math.min((rotatedAt ?? since) + every, Math.max(expiresAt - (secretLifetime - every), halfway));
}

/**
 * Returns the expiry, epoch ms, by name of a configured secret. No entry: it never expires, or the expiry is unknown.
 * @param names of the credential's secrets, in order; a rotation stores the first
 */
export function expiries(
  names: readonly string[],
  listed: readonly ClientSecret[],
  { journal, nowMs }: { readonly journal: Journal | undefined; readonly nowMs: number },
): Map<string, number> {
  const stored = listed.find(({ clientSecretId }) => clientSecretId === journal?.current?.clientSecretId);
  const rest = listed.filter(
    (secret) => secret !== stored && !journal?.attempt?.retire.includes(secret.clientSecretId),
  );
  const live = rest.filter(({ expiresAt }) => (expiresAt ?? Infinity) > nowMs);
  // When all have expired, report that.
  const earliest = Math.min(...(live.length > 0 ? live : rest).map(({ expiresAt }) => expiresAt ?? Infinity));
  const known = names.map((name, index) => [name, index === 0 && stored ? stored.expiresAt : earliest] as const);
  return new Map(known.flatMap(([name, at]) => (at !== undefined && Number.isFinite(at) ? [[name, at]] : [])));
}
