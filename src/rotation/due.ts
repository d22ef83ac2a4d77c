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
 */
export function dueAt(journal: Journal, { every, secretLifetime }: Rhythm): number {
  const { attempt, since, rotatedAt, current } = journal;
  if (attempt) return attempt.phase === 'promoted' ? (attempt.retireAt ?? 0) : 0;
  const expiresAt = current?.expiresAt ?? Number.POSITIVE_INFINITY;
  return Math.min((rotatedAt ?? since) + every, expiresAt - (secretLifetime - every));
}
