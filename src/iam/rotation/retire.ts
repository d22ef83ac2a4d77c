/** The last step of a rotation: the old secret is deleted, when it is sure that nobody needs it. */
import { SidecarError } from '../../core/errors.ts';
import type { ClientSecret } from '../api.ts';
import { keep, newValue, type RotationOptions, sharedNow, type WithAttempt } from './attempt.ts';
import { list, remove } from './client-secrets.ts';
import { isLive } from './inventory.ts';
import type { Journal } from './journal.ts';

/** @throws SidecarError ROTATION_NOT_RETIRED, IAM_*, ROTATION_STORE_FAILED; after each of them it can be called again */
export async function retire(journal: WithAttempt, options: RotationOptions): Promise<Journal> {
  const { store, trySecret, clock } = options;
  const { attempt } = journal;
  const inStore = await store.readSecret();
  if (inStore && inStore.fingerprint() !== newValue(attempt).fingerprint()) return overruled(journal, options);
  const lacking = (await store.lacking?.(newValue(attempt))) ?? [];
  if (lacking.length > 0) throw kept(`not taken over yet by ${lacking.slice(0, 10).join(', ')}`);
  const secrets = await list(options);
  // Not before the list: this process may have slept meanwhile.
  const triedAt = clock.now();
  const verdict = await trySecret(newValue(attempt));
  // Twins have the same value: keep the one that lives longest, whatever id the response named.
  const [listed, ...twins] = secrets
    .filter(({ description }) => description === attempt.description)
    .toSorted((one, other) => (other.expiresAt ?? Infinity) - (one.expiresAt ?? Infinity));
  if (!listed) throw kept('IAM does not list the new secret');
  if (verdict === 'refused' && !isLive(listed, triedAt)) {
    const old = secrets.find((secret) => attempt.retire.includes(secret.clientSecretId) && isLive(secret, triedAt));
    return giveUp(journal, options, {
      reason: 'the new secret has expired before the old one was deleted',
      current: old,
    });
  }
  if (verdict !== 'accepted') throw kept('the new secret gets no token right now');
  // A request that timed out long ago may have created a twin.
  await remove([...attempt.retire, ...twins.map(({ clientSecretId }) => clientSecretId)], 'retired', options, () => {
    if (Math.abs(clock.now() - triedAt) > PROVED_MS)
      throw kept('this process has slept since the new secret got a token');
  });
  const { attempt: _done, ...rest } = journal;
  // IAM decides the expiry: an earlier try may have created it, or IAM may grant less than requested.
  const { clientSecretId, description, expiresAt = attempt.expiresAt } = listed;
  const known = { clientSecretId, description, expiresAt };
  return keep({ ...rest, current: known, rotatedAt: await sharedNow(options) }, options);
}

/** For so long a token proves that the new secret works. */
const PROVED_MS = 60_000;

const kept = (reason: string) => new SidecarError('ROTATION_NOT_RETIRED', { fields: { reason } });

/** Somebody put another secret into the store. Without the new one in IAM, this attempt could never end. */
async function overruled(journal: WithAttempt, options: RotationOptions): Promise<never> {
  const nowMs = options.clock.now();
  const isOurs = ({ description }: ClientSecret) => description === journal.attempt.description;
  const isThere = (await list(options)).some((it) => isOurs(it) && isLive(it, nowMs));
  const reason = 'the store has another secret';
  if (isThere) throw kept(reason);
  return giveUp(journal, options, { reason: `${reason}, and IAM no longer has the new one` });
}

/** The next run begins anew. @param current what it replaces */
async function giveUp(
  { attempt: _over, current: _gone, ...rest }: WithAttempt,
  options: RotationOptions,
  { reason, current }: { readonly reason: string; readonly current?: ClientSecret | undefined },
): Promise<never> {
  await keep({ ...rest, ...(current && { current }) }, options);
  throw kept(`${reason}: this rotation is given up`);
}
