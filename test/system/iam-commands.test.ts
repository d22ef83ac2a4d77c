// The iam commands as processes, against a local Aritma that keeps what they do: each command where it works, and where not.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ADMIN_CLIENT, DEMO_CLIENT } from '../../src/emulator/store.ts';
import { jsonLines, start } from '../support/cli.ts';
import { startIamCli } from '../support/iam-cli.ts';

const CREATE = ['clients', 'create', '--name', 'my-erp', '--description', 'ERP of Oslo', '--scope', 'api'];

describe('iam clients', () => {
  it('are created with sensible defaults, read, listed, searched, changed and deleted', async () => {
    await using world = await startIamCli();
    const [created] = await world.rows([...CREATE, '--scope', 'services.banking']);
    const id = String(created?.['clientId']);
    expect(created).toEqual({ result: 'created', clientId: id });
    expect(await world.rows(['clients', 'get', id])).toEqual([
      {
        clientId: id,
        name: 'my-erp',
        description: 'ERP of Oslo',
        allowedGrantTypes: ['client_credentials'],
        allowedScopes: ['api', 'services.banking'],
        redirectUris: [],
      },
    ]);
    expect(await world.rows(['clients', 'list', '--search', 'MY-E'])).toMatchObject([{ clientId: id, name: 'my-erp' }]);
    expect(await world.rows(['clients', 'list'])).toHaveLength(3);
    expect(await world.rows(['clients', 'update', id, '--description', 'ERP of Bergen'])).toEqual([
      { result: 'updated', clientId: id, changed: ['description'] },
    ]);
    expect(await world.rows(['clients', 'get', id])).toMatchObject([
      { name: 'my-erp', description: 'ERP of Bergen', allowedScopes: ['api', 'services.banking'] },
    ]);
    expect(await world.rows(['clients', 'delete', id, '--yes'])).toEqual([{ result: 'deleted', clientId: id }]);
    expect(await world.rows(['clients', 'delete', id, '--yes'])).toEqual([{ result: 'absent', clientId: id }]);
  });

  it('get redirect URIs and other grants where given, and lose them where told', async () => {
    await using world = await startIamCli();
    const uris = ['--redirect-uri', 'https://a.example/cb', '--redirect-uri', 'https://b.example/cb'];
    const [created] = await world.rows([...CREATE, '--grant-type', 'authorization_code', ...uris]);
    const id = String(created?.['clientId']);
    expect(await world.rows(['clients', 'get', id])).toMatchObject([
      { allowedGrantTypes: ['authorization_code'], redirectUris: ['https://a.example/cb', 'https://b.example/cb'] },
    ]);
    await world.rows(['clients', 'update', id, '--no-redirect-uris', '--scope', 'services.banking']);
    expect(await world.rows(['clients', 'get', id])).toMatchObject([
      { redirectUris: [], allowedScopes: ['services.banking'], allowedGrantTypes: ['authorization_code'] },
    ]);
  });

  it('are found where creating answers without an id, also beside one that looks the same', async () => {
    await using world = await startIamCli({ iam: { createResponse: 'empty' } });
    const [first] = await world.rows(CREATE);
    const [second] = await world.rows(CREATE);
    expect(first?.['clientId']).not.toBe(second?.['clientId']);
    const listed = (await world.rows(['clients', 'list', '--search', 'my-erp'])).map(({ clientId }) => clientId);
    expect(listed.sort()).toEqual([first?.['clientId'], second?.['clientId']].sort());
  });

  it('are created once where the answer is lost after the effect', async () => {
    await using world = await startIamCli();
    await world.fault({ target: 'iam', method: 'POST', after: true, reset: true });
    const [created] = await world.rows(CREATE);
    expect(await world.rows(['clients', 'list', '--search', 'my-erp'])).toMatchObject([
      { clientId: created?.['clientId'] },
    ]);
  });

  it('exit 6 and say where to look when creating fails in a way that may hide an effect', async () => {
    await using world = await startIamCli();
    await world.fault({ target: 'iam', method: 'POST', status: 503 });
    const { code, stdout, stderr } = await world.iam(CREATE);
    expect({ code, stdout }).toEqual({ code: 6, stdout: '' });
    expect(stderr).toMatch(/^IAM_UNAVAILABLE: /);
    expect(stderr).toMatch(/created: perhaps.*\n.*look: aritma-sidecar iam clients list/);
  });

  it.each([
    ['get one that does not exist', ['clients', 'get', 'nobody'], 8, /^IAM_NOT_FOUND: /],
    ['update one that does not exist', ['clients', 'update', 'nobody', '--name', 'n'], 8, /^IAM_NOT_FOUND: /],
    ['update nothing', ['clients', 'update', 'demo-erp'], 2, /at least one field to change/],
    ['create without a scope', CREATE.slice(0, 6), 2, /--scope/],
    ['create without a name', [...CREATE.slice(0, 3), '', ...CREATE.slice(4)], 2, /--name: must not be empty/],
    ['delete where nobody can be asked', ['clients', 'delete', 'demo-erp'], 2, /flag --yes: /],
    ['delete ".."', ['clients', 'delete', '..', '--yes'], 2, /must not be empty, "\." or "\.\."/],
    ['get without an id', ['clients', 'get'], 2, /client-id/],
  ] as const)('exit as documented on: %s', async (_what, words, expected, hint) => {
    await using world = await startIamCli();
    const { code, stdout, stderr } = await world.iam(words);
    expect({ code, stdout }).toEqual({ code: expected, stdout: '' });
    expect(stderr).toMatch(hint);
    expect(stderr).not.toMatch(/ at .*\.ts:\d+/);
  });

  it('list thousands whole, and ask for no more once nobody reads', async () => {
    const many = Array.from({ length: 2500 }, (_, index) => ({
      ...DEMO_CLIENT,
      clientId: `c-${index}`,
      description: 'long '.repeat(50),
    }));
    await using world = await startIamCli({ clients: [ADMIN_CLIENT, ...many] });
    const requests = async () => (await world.counters()).requests.iam;
    expect(await world.rows(['clients', 'list'])).toHaveLength(2501);
    expect(await requests()).toBe(26);
    await using reader = start(['iam', 'clients', 'list'], { env: world.env, cwd: '/' });
    reader.child.stdout?.once('data', () => reader.child.stdout?.destroy());
    expect(await reader.ended).toMatchObject({ code: 0, stderr: '' });
    expect(await requests()).toBeLessThan(26 + 20);
  });
});

describe('iam secrets', () => {
  it('are generated into a private file that works as a credential, listed without a value, and deleted', async () => {
    await using world = await startIamCli();
    const id = await world.client('my-erp');
    const out = `${world.folder.path}/secret.txt`;
    const { stdout, stderr, code } = await world.iam([
      'secrets',
      'create',
      id,
      '--description',
      's',
      '--out',
      'secret.txt',
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [created] = jsonLines(stdout);
    expect(created).toMatchObject({
      result: 'created',
      clientId: id,
      description: 's',
      expires: null,
      file: 'secret.txt',
    });
    const text = readFileSync(out, 'utf8');
    expect(text).toMatch(/^[A-Za-z0-9_-]{32}\n$/);
    expect(statSync(out).mode & 0o777).toBe(0o600);
    expect(stdout).not.toContain(text.trim());
    expect((await world.askToken(id, text.trim())).status).toBe(200);
    const secretId = String(created?.['clientSecretId']);
    expect(await world.rows(['secrets', 'list', id])).toEqual([
      { clientSecretId: secretId, description: 's', expires: null },
    ]);
    expect(await world.rows(['secrets', 'delete', id, secretId, '--yes'])).toMatchObject([{ result: 'deleted' }]);
    expect(await world.rows(['secrets', 'list', id])).toEqual([]);
    expect(await world.rows(['secrets', 'delete', id, secretId, '--yes'])).toMatchObject([{ result: 'absent' }]);
  });

  it('are shown once where asked, and expire when told', async () => {
    await using world = await startIamCli();
    const id = await world.client('my-erp');
    const words = ['secrets', 'create', id, '--description', 's', '--show'];
    const [shown] = await world.rows([...words, '--expires', '2036-06-30']);
    expect(shown).toMatchObject({ expires: '2036-06-30T00:00:00.000Z', value: expect.stringMatching(/^[\w-]{32}$/) });
    const [aged] = await world.rows([...words, '--expires', '90d']);
    expect(Date.parse(String(aged?.['expires'])) - Date.now()).toBeGreaterThan(89 * 86_400_000);
    expect(aged?.['value']).not.toBe(shown?.['value']);
  });

  it('take a value from a file, which needs no other one and is shown nowhere', async () => {
    await using world = await startIamCli();
    const id = await world.client('my-erp');
    world.folder.write('value', 's3cr3tV@lue!\n');
    const words = ['secrets', 'create', id, '--description', 's', '--value-file', 'value'];
    const { code, stdout, stderr } = await world.iam(words);
    expect(code).toBe(0);
    expect(stdout + stderr).not.toContain('s3cr3t');
  });

  it('never replace a file, unless told; then its mode stays', async () => {
    await using world = await startIamCli();
    const id = await world.client('my-erp');
    const out = world.folder.write('secret', 'old\n', 0o640);
    const words = ['secrets', 'create', id, '--description', 's', '--out', out];
    const refused = await world.iam(words);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/flag --out: .*--force/);
    expect(readFileSync(out, 'utf8')).toBe('old\n');
    expect(await world.rows(['secrets', 'list', id])).toEqual([]);
    await world.rows([...words, '--force']);
    expect(readFileSync(out, 'utf8')).toMatch(/^[\w-]{32}\n$/);
    expect(statSync(out).mode & 0o777).toBe(0o640);
  });

  it('leave no file behind, and the old one as it was, when IAM refuses them', async () => {
    await using world = await startIamCli();
    const old = world.folder.write('old', 'old\n');
    const fresh = `${world.folder.path}/fresh`;
    const words = ['secrets', 'create', 'nobody', '--description', 's', '--out'];
    expect((await world.iam([...words, fresh])).code).toBe(8);
    expect(existsSync(fresh)).toBe(false);
    expect((await world.iam([...words, old, '--force'])).code).toBe(8);
    expect(readFileSync(old, 'utf8')).toBe('old\n');
  });

  it('are known although the answer is lost after the effect, or has no content', async () => {
    await using world = await startIamCli({ iam: { createResponse: 'empty' } });
    const id = await world.client('my-erp');
    const words = ['secrets', 'create', id, '--description', 'same', '--out'];
    const [first] = await world.rows([...words, 'a']);
    await world.fault({ target: 'iam', method: 'POST', after: true, reset: true });
    const [second] = await world.rows([...words, 'b']);
    const listed = (await world.rows(['secrets', 'list', id])).map(({ clientSecretId }) => clientSecretId);
    expect(listed).toEqual([first?.['clientSecretId'], second?.['clientSecretId']]);
  });

  it('keep the value where it cannot be known whether they exist', async () => {
    await using world = await startIamCli();
    const id = await world.client('my-erp');
    await world.fault({ target: 'iam', method: 'POST', status: 502, times: 1 });
    const { code, stderr } = await world.iam(['secrets', 'create', id, '--description', 's', '--out', 'kept']);
    expect(code).toBe(6);
    expect(stderr).toMatch(/created: perhaps/);
    expect(readFileSync(`${world.folder.path}/kept`, 'utf8')).toMatch(/^[\w-]{32}\n$/);
  });

  it('keep the value of one that IAM has made and does not list', async () => {
    await using world = await startIamCli({ iam: { createResponse: 'empty' } });
    const id = await world.client('my-erp');
    // The list before is answered, the one after is not.
    await world.fault({ target: 'iam', method: 'GET', delayMs: 0 });
    await world.fault({ target: 'iam', method: 'GET', status: 503 });
    const { code, stderr } = await world.iam(['secrets', 'create', id, '--description', 's', '--out', 'kept']);
    expect([code, stderr]).toEqual([6, expect.stringMatching(/created: perhaps/)]);
    const value = readFileSync(`${world.folder.path}/kept`, 'utf8').trim();
    expect((await world.askToken(id, value)).status).toBe(200);
  });

  it('never show the value that IAM quotes when it refuses it', async () => {
    await using world = await startIamCli();
    const id = await world.client('my-erp');
    world.folder.write('value', 'planted-7f3a-Kq9');
    const body = JSON.stringify({ title: 'No', errors: { value: ["'planted-7f3a-Kq9' is weak", 'planted-7f…'] } });
    await world.fault({ target: 'iam', method: 'POST', status: 400, body });
    const words = ['secrets', 'create', id, '--description', 's', '--value-file', 'value', '--show'];
    const { code, stdout, stderr } = await world.iam(words);
    expect(code).toBe(8);
    expect(stderr).toMatch(/problem: No; value: '\[secret\]' is weak '?\[secret\]…/);
    expect(stdout + stderr).not.toMatch(/planted|7f3a|Kq9/);
  });

  it.each([
    ['neither --out nor --show', ['--description', 's'], /--out FILE.*--show/],
    ['no description', ['--show'], /--description/],
    ['an empty description', ['--description', ' ', '--show'], /--description: must not be empty/],
    ['an expiry in the past', ['--description', 's', '--show', '--expires', '2019-08-24'], /--expires: is in the past/],
    ['an expiry that is none', ['--description', 's', '--show', '--expires', 'soon'], /--expires: must be never/],
    [
      'a day that does not exist',
      ['--description', 's', '--show', '--expires', '2036-02-31'],
      /--expires: must be never/,
    ],
    ['a value file that does not exist', ['--description', 's', '--value-file', 'nowhere'], /--value-file: .*ENOENT/],
    ['a value that is too short', ['--description', 's', '--value-file', 'short'], /8 to 32/],
    ['a value that is too long', ['--description', 's', '--value-file', 'long'], /8 to 32/],
  ] as const)('are not created with %s', async (_what, words, hint) => {
    await using world = await startIamCli();
    world.folder.write('short', 'seven77');
    world.folder.write('long', 'x'.repeat(33));
    const { code, stdout, stderr } = await world.iam(['secrets', 'create', 'demo-erp', ...words]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(hint);
    expect((await world.counters()).requests.iam).toBe(0);
  });

  it('exit 8 on a client or folder that does not exist, 2 where deleting cannot be asked about', async () => {
    await using world = await startIamCli();
    expect((await world.iam(['secrets', 'list', 'nobody'])).code).toBe(8);
    const nowhere = await world.iam(['secrets', 'create', 'demo-erp', '--description', 's', '--out', 'no/where']);
    expect(nowhere).toMatchObject({
      code: 8,
      stderr: expect.stringMatching(/^ROTATION_STORE_FAILED[\s\S]*Create \S+\/no, owned by/),
    });
    expect((await world.iam(['secrets', 'delete', 'demo-erp', 's'])).code).toBe(2);
  });
});

describe('iam subjects, permissions and policies', () => {
  it('give a client rights by its own id, show them, and take them away', async () => {
    await using world = await startIamCli();
    const id = await world.client('my-erp');
    const policy = ['--scope', '/subscriptions/123', '--action', 'banking.ais.manage'];
    const derived = ['--scope', '/subscriptions/123', '--action', 'banking.ais.read'];
    const subject = String((await world.rows(['subjects', 'list', '--search', 'my-erp']))[0]?.['subjectId']);
    expect(await world.rows(['policies', 'create', '--client', id, ...policy])).toEqual([
      { result: 'created', subject, scope: '/subscriptions/123', action: 'banking.ais.manage' },
    ]);
    expect(await world.rows(['policies', 'list', '--subject', subject])).toMatchObject([
      { subject, scope: '/subscriptions/123', action: 'banking.ais.manage' },
    ]);
    expect(await world.rows(['permissions', id, '--action', 'banking.ais.read'])).toMatchObject([
      { scope: '/subscriptions/123', action: 'banking.ais.read' },
    ]);
    expect(await world.rows(['policies', 'list', ...derived])).toEqual([]);
    expect(await world.rows(['policies', 'list', ...derived, '--include-derived'])).toHaveLength(1);
    const gone = ['policies', 'delete', '--subject', subject, ...policy, '--yes'];
    expect(await world.rows(gone)).toMatchObject([{ result: 'deleted', subject }]);
    expect(await world.rows(gone)).toMatchObject([{ result: 'absent', subject }]);
    expect(await world.rows(['permissions', id])).toEqual([]);
  });

  it('create a policy that exists already without complaint, also where IAM calls it a conflict', async () => {
    await using world = await startIamCli({ iam: { duplicatePolicy: 'conflict' } });
    const words = [
      'policies',
      'create',
      '--client',
      'demo-erp',
      '--scope',
      '/subscriptions/1',
      '--action',
      'banking.ais.read',
    ];
    expect(await world.rows(words)).toMatchObject([{ result: 'created' }]);
    expect(await world.rows(words)).toMatchObject([{ result: 'exists' }]);
  });

  const tuple = ['--scope', '/', '--action', 'banking.ais.read'];
  it.each([
    ['a client that does not exist', ['policies', 'create', '--client', 'nobody', ...tuple], 8, /no subject belongs/],
    ['part of a client id', ['policies', 'create', '--client', 'demo', ...tuple], 8, /no subject belongs/],
    ['neither subject nor client', ['policies', 'create', ...tuple], 2, /either --subject or --client/],
    ['both', ['policies', 'create', '--subject', 's', '--client', 'c', ...tuple], 2, /either --subject or --client/],
    ['a subject that does not exist', ['policies', 'create', '--subject', 'client-x', ...tuple], 8, /^IAM_REFUSED/],
    ['no action', ['policies', 'create', '--client', 'demo-erp', '--scope', '/'], 2, /--action/],
    ['a deletion nobody can be asked about', ['policies', 'delete', '--client', 'demo-erp', ...tuple], 2, /--yes/],
    ['permissions of nobody', ['permissions', 'nobody'], 8, /^IAM_NOT_FOUND/],
  ] as const)('exit as documented on: %s', async (_what, words, expected, hint) => {
    await using world = await startIamCli();
    const { code, stdout, stderr } = await world.iam(words);
    expect({ code, stdout }).toEqual({ code: expected, stdout: '' });
    expect(stderr).toMatch(hint);
  });
});
