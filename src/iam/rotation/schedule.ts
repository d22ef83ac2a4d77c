/**
 * When a secret is to be replaced. Pure.
 */
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
