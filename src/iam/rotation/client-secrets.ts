/** The secrets of one client at Aritma IAM, as a rotation reads and deletes them. */
import { SidecarError } from '../../core/errors.ts';
import type { ClientSecret, IamApi } from '../api.ts';
import { isLive } from './inventory.ts';
import { type Progress, retry } from './retry.ts';
import type { RotationClock } from './verification.ts';

export interface ClientSecretsOptions {
  readonly clientId: string;
  readonly iam: Pick<IamApi, 'secrets' | 'deleteSecret'>;
  readonly clock: RotationClock;
  readonly onProgress?: (progress: Progress) => void;
}

/** Lists them; tries again after failures that may be temporary. @throws SidecarError IAM_* */
export function list(options: ClientSecretsOptions): Promise<ClientSecret[]> {
  return retry(options, () => listOnce(options));
}

/** @throws SidecarError IAM_* */
export async function listOnce({
  iam,
  clientId,
}: Pick<ClientSecretsOptions, 'iam' | 'clientId'>): Promise<ClientSecret[]> {
  const secrets: ClientSecret[] = [];
  for await (const secret of iam.secrets(clientId)) secrets.push(secret);
  return secrets;
}

/**
 * A secret is deleted when IAM no longer lists it: a proxy in between may respond with 200 to anything. The last live
 * secret stays: people may have deleted the others since the caller decided.
 * @param check throws when they must not be deleted any more; called before each try
 * @throws SidecarError ROTATION_NOT_RETIRED, IAM_*, and what `check` throws
 */
export async function remove(
  ids: readonly string[],
  step: 'cleaned' | 'retired',
  options: ClientSecretsOptions,
  check?: () => void,
): Promise<void> {
  if (ids.length === 0) return;
  await retry(options, async () => {
    const { live, named } = await look(ids, options);
    check?.();
    if (live.length > 0 && live.every((secret) => named.includes(secret)))
      throw new SidecarError('ROTATION_NOT_RETIRED', { fields: { reason: 'it is the last secret of the client' } });
    for (const id of ids) await options.iam.deleteSecret(options.clientId, id);
    if ((await look(ids, options)).named.length > 0)
      throw new SidecarError('IAM_INVALID', { fields: { reason: 'deleted, but IAM still lists it' } });
  });
  for (const secret of ids) options.onProgress?.({ step, fields: { secret } });
}

async function look(ids: readonly string[], options: ClientSecretsOptions) {
  const secrets = await listOnce(options);
  const nowMs = options.clock.now();
  return {
    live: secrets.filter((secret) => isLive(secret, nowMs)),
    named: secrets.filter(({ clientSecretId }) => ids.includes(clientSecretId)),
  };
}
