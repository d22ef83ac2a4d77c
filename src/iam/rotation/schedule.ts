/**
 * When a secret expires, and when it is to be replaced. Pure.
 */

import type { ClientSecret } from '../api.ts';
import type { Journal } from './journal.ts';

export interface Rhythm {
  /** ms between rotations. */
  readonly every: number;
  /** ms a new secret lives. */
  readonly secretLifetime: number;
}

/**
 * Epoch ms: `every` after the last rotation, or after this place began to watch; earlier for a secret that expires before,
 * with the same reserve a new one has. A rotation under way is due when its next step is.
 * @param listedExpiry epoch ms; what IAM says of a secret that this journal knows nothing of
 */
export function dueAt(journal: Journal, { every, secretLifetime }: Rhythm, listedExpiry?: number): number {
  const { attempt, since, rotatedAt, current } = journal;
  if (attempt) return attempt.phase === 'promoted' ? (attempt.retireAt ?? 0) : 0;
  const expiresAt = (current ? current.expiresAt : listedExpiry) ?? Number.POSITIVE_INFINITY;
  // IAM may give a secret less life than the reserve; it would be replaced as soon as it is there, for ever.
  const halfway = rotatedAt === undefined ? Number.NEGATIVE_INFINITY : (rotatedAt + expiresAt) / 2;
  return Math.min((rotatedAt ?? since) + every, Math.max(expiresAt - (secretLifetime - every), halfway));
}

/**
 * Epoch ms by the name of a configured secret; without an entry it never expires, or nobody has said.
 * @param names of the credential's secrets, in order; the first is the one a rotation stores
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
  // When all have expired, that is what there is to say.
  const earliest = Math.min(...(live.length > 0 ? live : rest).map(({ expiresAt }) => expiresAt ?? Infinity));
  const known = names.map((name, index) => [name, index === 0 && stored ? stored.expiresAt : earliest] as const);
  return new Map(known.flatMap(([name, at]) => (at !== undefined && Number.isFinite(at) ? [[name, at]] : [])));
}
