/**
 * Which of a client's secrets, as IAM lists them, are the configured ones, and when they expire. Pure. IAM tells no values:
 * what a rotation has stored is known by its id, and any other secret is taken to expire when the first of the rest does,
 * which may be too early and is never too late.
 */
import type { ClientSecret } from '../api.ts';
import type { Journal } from './journal.ts';

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
