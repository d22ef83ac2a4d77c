/** The control for provisioning, as usually written: create, create, grant, without checks and without a journal. */
import { writeFileSync } from 'node:fs';
import { randomSecret } from '../../src/core/secret.ts';
import type { IamApi } from '../../src/iam/api.ts';
import type { Desired } from '../../src/iam/provision/desired-state.ts';

type NaiveIam = Pick<IamApi, 'clients' | 'createClient' | 'createSecret' | 'subjects' | 'createPolicy'>;

export async function provisionNaively(desired: Desired, iam: NaiveIam): Promise<void> {
  const { name, description, scopes } = desired.client;
  let clientId = await iam.createClient({
    name,
    description,
    allowedGrantTypes: ['client_credentials'],
    allowedScopes: scopes,
    redirectUris: [],
  });
  for await (const client of iam.clients(name)) clientId ??= client.clientId;
  const value = randomSecret();
  await iam.createSecret(clientId ?? '', { value, description: desired.secret.description });
  writeFileSync(desired.secret.file, `${value.reveal()}\n`, { mode: 0o600 });
  for await (const { id, subjectId } of iam.subjects(name)) {
    if (id !== clientId) continue;
    for (const policy of desired.policies) await iam.createPolicy({ subject: subjectId, ...policy });
  }
}
