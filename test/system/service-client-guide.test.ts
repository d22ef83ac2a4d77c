// Aritma's guide "Create a Service Client", played with the curl lines of the documentation: only hosts and what stands in
// angle or curly brackets is filled in.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Emulator, startEmulator } from '../../src/emulator/server.ts';
import { ADMIN_CLIENT, DEMO_CLIENT } from '../../src/emulator/store.ts';
import { run } from '../support/cli.ts';
import { createFolder } from '../support/folder.ts';

const bash = promisify(execFile);
const MOCK = 'https://developer.aritma.com/_mock/apis/platform/iam/openapi/iam-openapi';
const IDENTITY = 'https://id.dev.aritma.io';
const AUTHORIZED = `-H 'Authorization: Bearer <YOUR_TOKEN_HERE>'`;
const JSON_BODY = `-H 'Content-Type: application/json'`;

const CLIENT_BODY = `-d '{
"name": "My Application",
"description": "string",
"allowedGrantTypes": [
"string"
],
"redirectUris": [
"string"
],
"allowedScopes": [
"string"
]
}'`;
const LINES = {
  createClient: `curl -i -X POST \\
${MOCK}/v1/clients \\
${AUTHORIZED} \\
${JSON_BODY} \\
${CLIENT_BODY}`,
  listClients: `curl -i -X GET \\
'${MOCK}/v1/clients?searchText=string&page=0&pageSize=0' \\
${AUTHORIZED}`,
  getClient: `curl -i -X GET \\
'${MOCK}/v1/clients/{clientId}' \\
${AUTHORIZED}`,
  listSecrets: `curl -i -X GET \\
'${MOCK}/v1/clients/{clientId}/secrets?page=0&pageSize=0' \\
${AUTHORIZED}`,
  createSecret: `curl -i -X POST \\
'${MOCK}/v1/clients/{clientId}/secrets' \\
${AUTHORIZED} \\
${JSON_BODY} \\
-d '{
"value": "s3cr3tV@lue!",
"description": "Production API access",
"expiration": "2019-08-24T14:15:22Z"
}'`,
  deleteSecret: `curl -i -X DELETE \\
'${MOCK}/v1/clients/{clientId}/secrets/{clientSecretId}' \\
${AUTHORIZED}`,
  token: `curl -X POST "${IDENTITY}/connect/token" \\
-H "Content-Type: application/x-www-form-urlencoded" \\
-d "grant_type=client_credentials" \\
-d "client_id=my-backend-service" \\
-d "client_secret=abc123xyz..." \\
-d "scope=api"`,
  findSubject: `curl -i -X GET \\
'${MOCK}/v1/subjects/clients?searchQuery=john&page=1&pageSize=100' \\
${AUTHORIZED}`,
  createPolicy: `curl -i -X POST \\
${MOCK}/v1/policies \\
${AUTHORIZED} \\
${JSON_BODY} \\
-d '{
"subject": "user-00000000-0000-0000-0000-000000000000",
"scope": "/subscriptions/123",
"action": "iam.policy.read"
}'`,
  permissions: `curl -i -X GET \\
'${MOCK}/v1/subjects/clients/{clientId}/permissions?resourceType=subscriptions&resourceProvider=aritma.control&action=iam.policy.read' \\
${AUTHORIZED}`,
  updateClient: `curl -i -X PUT \\
'${MOCK}/v1/clients/{clientId}' \\
${AUTHORIZED} \\
${JSON_BODY} \\
${CLIENT_BODY}`,
  quickStart: `curl -i -X POST ${IDENTITY}/connect/token \\
-H "Content-Type: application/x-www-form-urlencoded" \\
-d grant_type=client_credentials \\
-d client_id=$CLIENT_ID \\
-d client_secret=$CLIENT_SECRET \\
-d scope=api`,
  deleteClient: `curl -i -X DELETE \\
'${MOCK}/v1/clients/{clientId}' \\
${AUTHORIZED}`,
} as const;

interface Answer {
  readonly status: number;
  readonly json: Record<string, unknown>;
}

let emulator: Emulator;
let admin = '';
beforeAll(async () => {
  // Before the date in the documentation's sample, which nothing may expire on any more today.
  emulator = await startEmulator({ port: 0, now: () => Date.parse('2019-08-01T00:00:00Z') });
  const answer = await play(LINES.token, {
    'my-backend-service': ADMIN_CLIENT.clientId,
    'abc123xyz...': ADMIN_CLIENT.secrets[0]?.value ?? '',
    'scope=api': 'scope=services.iam',
  });
  admin = String(answer.json['access_token']);
});
afterAll(() => emulator.close());

/** Runs a line with the hosts of the local Aritma, and what is to be filled in. */
async function play(line: string, fill: Readonly<Record<string, string>> = {}): Promise<Answer> {
  const hosts = { [MOCK]: `${emulator.url}/core/iam`, [IDENTITY]: emulator.url, '<YOUR_TOKEN_HERE>': admin };
  const command = Object.entries({ ...hosts, ...fill }).reduce((text, [from, to]) => text.replaceAll(from, to), line);
  const { stdout } = await bash('bash', ['-c', `${command} -s`]);
  const [, status, body] = /^(?:HTTP\/1\.1 (\d{3}).*?\r\n\r\n)?(.*)$/s.exec(stdout) ?? [];
  return { status: Number(status ?? 200), json: (body ? JSON.parse(body) : {}) as Record<string, unknown> };
}

const SERVICE = {
  '"allowedGrantTypes": [\n"string"\n]': '"allowedGrantTypes": ["client_credentials"]',
  '"redirectUris": [\n"string"\n]': '"redirectUris": []',
  '"allowedScopes": [\n"string"\n]': '"allowedScopes": ["api"]',
};

/** Every curl line of the three pages, page by page, in their order. */
const PAGES = [
  ...['createClient', 'createSecret', 'findSubject', 'createPolicy'],
  ...[
    'listClients',
    'createClient',
    'getClient',
    'listSecrets',
    'createSecret',
    'deleteSecret',
    'token',
    'findSubject',
  ],
  ...['createPolicy', 'permissions', 'updateClient', 'deleteClient', 'quickStart'],
] as (keyof typeof LINES)[];

/** Status of each line, word by word: nothing but the host is another one. curl writes the status where there is no `-i`. */
async function playPages(lenient: boolean): Promise<string[]> {
  await using local = await startSample(lenient);
  const env = { ...process.env, CLIENT_ID: DEMO_CLIENT.clientId, CLIENT_SECRET: DEMO_CLIENT.secrets[0]?.value };
  const statuses: string[] = [];
  for (const name of PAGES) {
    const line = LINES[name].replaceAll(/https:\/\/(developer\.aritma\.com|id\.dev\.aritma\.io)/g, local.url);
    const { stdout } = await bash('bash', ['-c', `${line} -s -o /dev/null -w '%{http_code}'`], { env });
    statuses.push(`${name} ${stdout.slice(-3)}`);
  }
  return statuses;
}

async function startSample(lenient: boolean) {
  const running = await startEmulator({ port: 0, iam: { lenient } });
  return { ...running, [Symbol.asyncDispose]: () => running.close() };
}

describe('the curl lines of the documentation, word by word', () => {
  it('all 17 succeed with --lenient', async () => {
    const created = { createClient: 201, createSecret: 201, deleteSecret: 204, deleteClient: 204 };
    const right = PAGES.map((name) => `${name} ${created[name as keyof typeof created] ?? 200}`);
    expect(await playPages(true)).toEqual(right);
    expect(right).toHaveLength(17);
  });

  it('without it only the one that names the demo client does: the rest is a placeholder or another host’s path', async () => {
    const succeeded = (await playPages(false)).filter((line) => / 2..$/.test(line));
    expect(succeeded).toEqual(['quickStart 200']);
  });
});

describe('the guide "Create a Service Client", by its own curl lines', () => {
  it('every sample as it stands is answered', async () => {
    const { status, json } = await play(LINES.createClient);
    const id = { '{clientId}': String(json['clientId']) };
    expect([status, typeof json['clientId']]).toEqual([201, 'string']);
    expect((await play(LINES.getClient, id)).json).toMatchObject({ name: 'My Application', description: 'string' });
    expect((await play(LINES.updateClient, id)).status).toBe(200);
    expect((await play(LINES.listClients)).json).toMatchObject({ items: [], metadata: { page: 1, totalCount: 0 } });
    expect((await play(LINES.findSubject)).json).toMatchObject({ page: 1, pageSize: 100, data: [] });
    expect((await play(LINES.deleteClient, id)).status).toBe(204);
    expect((await play(LINES.getClient, id)).status).toBe(404);
  });

  it('its four steps end in a client that may do what its policy says, until it is deleted', async () => {
    const { json: client } = await play(LINES.createClient, SERVICE);
    const id = { '{clientId}': String(client['clientId']) };
    expect((await play(LINES.listSecrets, id)).json).toMatchObject({ items: [] });
    expect((await play(LINES.createSecret, id)).status).toBe(201);
    const { json: secrets } = await play(LINES.listSecrets, id);
    expect(JSON.stringify(secrets)).not.toContain('s3cr3tV@lue!');
    expect(secrets['items']).toMatchObject([
      { description: 'Production API access', expiration: expect.stringContaining('2019-08-24') },
    ]);

    const { json: subjects } = await play(LINES.findSubject, { 'searchQuery=john': 'searchQuery=My%20Application' });
    const [subject] = subjects['data'] as { id: string; subjectId: string }[];
    expect(subject?.id).toBe(id['{clientId}']);
    const grant = { 'user-00000000-0000-0000-0000-000000000000': subject?.subjectId ?? '' };
    expect((await play(LINES.createPolicy, grant)).json).toMatchObject({
      scope: '/subscriptions/123',
      action: 'iam.policy.read',
    });
    expect((await play(LINES.permissions, id)).json['data']).toMatchObject([{ action: 'iam.policy.read' }]);

    const credentials = { 'my-backend-service': id['{clientId}'], 'abc123xyz...': 's3cr3tV@lue!' };
    const { json: token } = await play(LINES.token, credentials);
    expect(token).toMatchObject({ expires_in: 3600, token_type: 'Bearer', scope: 'api' });
    const call = async () => {
      const headers = { authorization: `Bearer ${String(token['access_token'])}`, 'subscription-id': '123' };
      return (await fetch(`${emulator.url}/banking/api/accounts`, { headers })).status;
    };
    expect(await call()).toBe(403);
    expect((await play(LINES.createPolicy, { ...grant, 'iam.policy.read': 'banking.ais.read' })).status).toBe(200);
    expect(await call()).toBe(200);

    const [secret] = (await play(LINES.listSecrets, id)).json['items'] as { clientSecretId: string }[];
    expect((await play(LINES.deleteSecret, { ...id, '{clientSecretId}': secret?.clientSecretId ?? '' })).status).toBe(
      204,
    );
    expect([await call(), (await play(LINES.token, credentials)).json]).toEqual([200, { error: 'invalid_client' }]);
    expect((await play(LINES.deleteClient, id)).status).toBe(204);
    expect(await call()).toBe(401);
  });

  it('has the same result as iam provision, which needs one file', async () => {
    using folder = createFolder();
    folder.write('admin', ADMIN_CLIENT.secrets[0]?.value ?? '');
    const policy = { scope: '/subscriptions/123', action: 'iam.policy.read' };
    const file = {
      client: { name: 'My Application', description: 'string', scopes: ['api'] },
      secret: { file: 'secret', description: 'Production API access', lifetime: '20d' },
      policies: [policy],
      sidecar: {
        credentials: { default: { tokenEndpoint: `${emulator.url}/connect/token` } },
        routes: [{ path: '/events', upstream: `${emulator.url}/events` }],
      },
    };
    folder.write('service-client.yaml', JSON.stringify(file));
    const env = {
      ...{ ARITMA_IAM_URL: `${emulator.url}/core/iam`, ARITMA_TOKEN_ENDPOINT: `${emulator.url}/connect/token` },
      ...{ ARITMA_CLIENT_ID: ADMIN_CLIENT.clientId, ARITMA_CLIENT_SECRET_FILE: 'admin' },
    };
    // The emulator's clock stands years back: a secret made today for 20 days never expires there.
    const { code, stderr } = await run(['iam', 'provision', '-f', 'service-client.yaml', '--yes'], {
      env,
      cwd: folder.path,
    });
    expect([code, stderr]).toEqual([0, '']);

    const { json: byHand } = await play(LINES.createClient, SERVICE);
    const { json: all } = await play(LINES.listClients, { 'searchText=string': 'searchText=My%20Application' });
    const made = (all['items'] as { clientId: string }[]).find(({ clientId }) => clientId !== byHand['clientId']);
    const id = { '{clientId}': made?.clientId ?? '' };
    const { clientId: _its, ...provisioned } = (await play(LINES.getClient, id)).json;
    const { clientId: _own, ...guided } = (await play(LINES.getClient, { '{clientId}': String(byHand['clientId']) }))
      .json;
    expect(provisioned).toEqual(guided);
    expect((await play(LINES.permissions, id)).json['data']).toMatchObject([policy]);
    expect((await play(LINES.listSecrets, id)).json['items']).toMatchObject([
      { description: expect.stringContaining('Production API access') },
    ]);
  });
});
