/**
 * What is to become of the secrets a client has when a rotation begins. Pure. Promises never to name one for deletion that
 * is not known to be ours: IAM does not tell values, so whose a secret is follows from what this place remembers.
 */
import { SidecarError } from '../../core/errors.ts';
import type { ClientSecret } from '../api.ts';
import { descriptionPrefix, type Journal } from './journal.ts';

export interface Inventory {
  /** Left by earlier attempts of this place: nobody uses them. */
  readonly strays: readonly string[];
  /** What the new secret replaces: none, or the one in use. */
  readonly retire: readonly string[];
}

export interface Known {
  readonly journal: Journal;
  readonly nowMs: number;
  /** Whether the secret in the store gets a token. */
  readonly inUseWorks: boolean;
}

/**
 * Two secrets at most are ever live, so only a client with one can get another. @throws SidecarError
 * ROTATION_TOO_MANY_SECRETS
 */
export function takeInventory(secrets: readonly ClientSecret[], { journal, nowMs, inUseWorks }: Known): Inventory {
  // It would be taken for a stray, and the journal is the only place its value is kept.
  if (journal.provision) {
    const message = 'is not finished; run `aritma-sidecar iam provision` again first';
    throw new SidecarError('IAM_CONFLICT', { problems: [{ where: 'provisioning', path: '', message }] });
  }
  const prefix = descriptionPrefix(journal);
  const current = journal.current?.clientSecretId;
  const isOwn = ({ clientSecretId, description }: ClientSecret) =>
    description.startsWith(prefix) && clientSecretId !== current;
  const { own = [], other = [] } = Object.groupBy(
    secrets.filter(({ expiresAt = Infinity }) => expiresAt > nowMs),
    (secret) => (isOwn(secret) ? 'own' : 'other'),
  );
  // What works is listed. Where nothing else can be it, it is one of ours, and this journal is older than it: restored.
  const live = inUseWorks && other.length === 0 ? own : other;
  const [only, another] = live;
  if (another) {
    const listed = live.map(({ clientSecretId, description }) => `${clientSecretId} (${description})`);
    throw new SidecarError('ROTATION_TOO_MANY_SECRETS', {
      fields: { clientId: journal.clientId, secrets: listed.slice(0, 10).join(', ') },
    });
  }
  // The only one there is must be the one that works; one that we have not made and that does not work is somebody else's.
  const isOurs = only && (only.clientSecretId === current || inUseWorks);
  return {
    strays: secrets
      .filter((secret) => isOwn(secret) && !live.includes(secret))
      .map(({ clientSecretId }) => clientSecretId),
    retire: isOurs ? [only.clientSecretId] : [],
  };
}
