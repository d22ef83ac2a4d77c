/** The control for rotations: create, overwrite, delete, without any error handling. */

import { randomSecret } from '../../src/core/secret.ts';
import type { ClientSecret } from '../../src/iam/api.ts';
import type { RotationOptions } from '../../src/iam/rotation/attempt.ts';

export async function naiveRotation({ iam, store, clientId, clock }: RotationOptions): Promise<{ kind: 'rotated' }> {
  const before: ClientSecret[] = [];
  for await (const secret of iam.secrets(clientId)) before.push(secret);
  const value = randomSecret();
  await iam.createSecret(clientId, { value, description: 'rotated', expiresAt: clock.now() + 90 * 86_400_000 });
  await store.writeSecret(value);
  const [old] = before;
  if (old) await iam.deleteSecret(clientId, old.clientSecretId);
  return { kind: 'rotated' };
}
