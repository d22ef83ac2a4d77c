/**
 * Decides what happens to a client's secrets when a rotation begins. Pure. Never marks a secret for deletion unless it
 * is known to be ours: IAM does not show values, so the journal decides whose a secret is.
 */
import { SidecarError } from '../../core/errors.ts';
import type { ClientSecret } from '../api.ts';
import { descriptionPrefix, type Journal } from './journal.ts';

export interface Inventory {
  /** Secrets left by earlier attempts of this journal: nobody uses them. */
  readonly strays: readonly string[];
  /** The secret that the new one replaces: none, the current one, or the last one where that is of no use. */
  readonly retire: readonly string[];
}

export interface Known {
  readonly journal: Journal;
  readonly nowMs: number;
  /** Whether the secret in the store gets a token. */
  readonly inUseWorks: boolean;
}

/**
 * Sorts the client's secrets. At most two are ever live, so only a client with one can get another.
 * @throws SidecarError ROTATION_TOO_MANY_SECRETS; IAM_CONFLICT while provisioning is not finished
 */
export function takeInventory(secrets: readonly ClientSecret[], { journal, nowMs, inUseWorks }: Known): Inventory {
  // The first secret would count as a stray, and only the journal has its value.
  if (journal.provision) {
    const message = 'is not finished; run `aritma-sidecar iam provision` again first';
    throw new SidecarError('IAM_CONFLICT', { problems: [{ where: 'provisioning', path: '', message }] });
  }
  const prefix = descriptionPrefix(journal);
  const current = journal.current?.clientSecretId;
  const isOwn = ({ clientSecretId, description }: ClientSecret) =>
    description.startsWith(prefix) && clientSecretId !== current;
  const { own = [], other = [] } = Object.groupBy(
    secrets.filter((secret) => isLive(secret, nowMs)),
    (secret) => (isOwn(secret) ? 'own' : 'other'),
  );
  // The working secret is in the list. If it can only be one of ours, this journal is older than it: restored from a
  // backup.
  const live = inUseWorks && other.length === 0 ? own : other;
  refuseSecond(live, journal.clientId);
  const [only] = live;
  // Nobody has its value, but without it the client might have no secret that works until there is a new one.
  const last = live.length === 0 ? own.at(-1) : undefined;
  // The only secret must be the one that works. One that we did not create and that does not work is somebody else's.
  const isOurs = only && (only.clientSecretId === current || inUseWorks);
  return {
    strays: secrets
      .filter((secret) => isOwn(secret) && secret !== last && !live.includes(secret))
      .map(({ clientSecretId }) => clientSecretId),
    retire: (isOurs ? [only] : last ? [last] : []).map(({ clientSecretId }) => clientSecretId),
  };
}

export function isLive({ expiresAt = Infinity }: ClientSecret, nowMs: number): boolean {
  return expiresAt > nowMs;
}

/** A client with two live secrets gets no third. @throws SidecarError ROTATION_TOO_MANY_SECRETS */
export function refuseSecond(live: readonly ClientSecret[], clientId: string): void {
  if (live.length < 2) return;
  const listed = live.map(({ clientSecretId, description }) => `${clientSecretId} (${description})`);
  throw new SidecarError('ROTATION_TOO_MANY_SECRETS', {
    fields: { clientId, secrets: listed.slice(0, 10).join(', ') },
  });
}
