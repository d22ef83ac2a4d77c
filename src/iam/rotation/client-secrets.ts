/** The secrets of one client at Aritma IAM, as a rotation reads and deletes them. */
import { SidecarError } from '../../core/errors.ts';
import type { ClientSecret, IamApi } from '../api.ts';
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
export async function listOnce({ iam, clientId }: ClientSecretsOptions): Promise<ClientSecret[]> {
  const secrets: ClientSecret[] = [];
  for await (const secret of iam.secrets(clientId)) secrets.push(secret);
  return secrets;
}

/**
 * A secret is deleted when IAM no longer lists it: a proxy in between may respond with 200 to anything.
 * @param check throws when they must not be deleted any more; called before each try
 * @throws SidecarError IAM_*, and what `check` throws
 */
export async function remove(
  ids: readonly string[],
  step: 'cleaned' | 'retired',
  options: ClientSecretsOptions,
  check?: () => void,
): Promise<void> {
  if (ids.length === 0) return;
  await retry(options, async () => {
    check?.();
    for (const id of ids) await options.iam.deleteSecret(options.clientId, id);
    const left = (await listOnce(options)).filter(({ clientSecretId }) => ids.includes(clientSecretId));
    if (left.length > 0)
      throw new SidecarError('IAM_INVALID', { fields: { reason: 'deleted, but IAM still lists it' } });
  });
  for (const secret of ids) options.onProgress?.({ step, fields: { secret } });
}
