/**
 * A rotation as usually written: create a secret, write it into the file, delete the old one. It is the control, and must
 * fail where the real one survives. Arguments: origin of Aritma, client id, file of its secret.
 */
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { ADMIN_CLIENT } from '../../src/emulator/store.ts';

const [origin = '', clientId = '', file = ''] = process.argv.slice(2);
const secrets = `${origin}/core/iam/v1/clients/${clientId}/secrets`;

async function ask(method: string, url: string, init: RequestInit = {}): Promise<unknown> {
  const answer = await fetch(url, { method, ...init });
  if (!answer.ok) throw new Error(`${method} answered ${answer.status}`);
  const text = await answer.text();
  return text === '' ? undefined : JSON.parse(text);
}

const form = new URLSearchParams({
  grant_type: 'client_credentials',
  client_id: ADMIN_CLIENT.clientId,
  client_secret: ADMIN_CLIENT.secrets[0]?.value ?? '',
});
const token = (await ask('POST', `${origin}/connect/token`, { body: form })) as { access_token: string };
const headers = { authorization: `Bearer ${token.access_token}`, 'content-type': 'application/json' };
const { items = [] } = (await ask('GET', secrets, { headers })) as { items?: { clientSecretId: string }[] };
const value = randomBytes(24).toString('base64url');
await ask('POST', secrets, { headers, body: JSON.stringify({ value, description: new Date().toISOString() }) });
await writeFile(file, `${value}\n`);
const [old] = items;
if (old) await ask('DELETE', `${secrets}/${old.clientSecretId}`, { headers });
