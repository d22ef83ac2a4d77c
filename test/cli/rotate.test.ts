// `rotate` as an operator runs it: a process, its output, its exit code, and what is on disk afterwards.
import { existsSync, readFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { startEmulator } from '../../src/emulator/server.ts';
import { acquireLock } from '../../src/iam/rotation/lock-file.ts';
import { jsonLines } from '../support/cli.ts';
import { createInside } from '../support/cli-inside.ts';
import { createFolder, type Folder } from '../support/folder.ts';
import { until } from '../support/until.ts';

const emulator = await startEmulator({ port: 0 });
const inside = createInside();
const { run } = inside;
afterAll(async () => {
  await inside[Symbol.asyncDispose]();
  await emulator.close();
});

const tokenEndpoint = `${emulator.url}/connect/token`;

interface SetUp {
  readonly iam?: object;
  readonly rotation?: object;
  readonly source?: object;
  readonly admin?: string;
}

/** A client of its own per test, as IAM's operations make one. */
async function setUp(folder: Folder, { iam, rotation = { overlap: '1s' }, source, admin }: SetUp = {}) {
  const token = await tokenOf('demo-admin', 'demo-admin-not-for-production', 'services.iam');
  const post = async (path: string, body: object) =>
    (await (
      await fetch(`${emulator.url}/core/iam/v1${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
    ).json()) as { clientId: string };
  const { clientId } = await post('/clients', {
    ...{ name: 'ERP', description: 'of a test', redirectUris: [] },
    ...{ allowedGrantTypes: ['client_credentials'], allowedScopes: ['api'] },
  });
  await post(`/clients/${clientId}/secrets`, { value: 'the-first-secret', description: 'first' });
  const secret = folder.write('secret', 'the-first-secret\n');
  const adminFile = folder.write('admin', admin ?? 'demo-admin-not-for-production');
  const config = folder.write(
    'config.yaml',
    JSON.stringify({
      credentials: {
        default: { tokenEndpoint, clientId, secrets: [source ?? { file: secret }], scope: 'api', rotation },
        admin: { tokenEndpoint, clientId: 'demo-admin', secrets: [{ file: adminFile }] },
      },
      routes: [{ path: '/', upstream: `${emulator.url}/banking/api` }],
      iam: iam ?? { url: `${emulator.url}/core/iam`, credential: 'admin' },
    }),
  );
  return { clientId, secret, config, stored: () => readFileSync(secret, 'utf8').trim() };
}

async function tokenOf(clientId: string, secret: string, scope = 'api'): Promise<string | undefined> {
  const form = { grant_type: 'client_credentials', client_id: clientId, client_secret: secret, scope };
  const answer = await fetch(tokenEndpoint, { method: 'POST', body: new URLSearchParams(form) });
  return ((await answer.json()) as { access_token?: string }).access_token;
}

// Side by side, because most of their time is waiting.
describe.concurrent('rotate', () => {
  it('replaces the secret, waits for the overlap, deletes the old one and exits 0; no line shows a secret', async () => {
    using folder = createFolder();
    const { clientId, config, stored } = await setUp(folder);
    const { code, stdout, stderr } = await run(['rotate', '--config', config, '--json']);
    expect([code, stderr]).toEqual([0, '']);
    const lines = jsonLines(stdout);
    expect(lines.map(({ step, kind }) => step ?? kind)).toEqual([
      'started',
      'creating',
      'created',
      'verified',
      'promoted',
      'waiting',
      'retired',
      'rotated',
    ]);
    expect(lines.at(-1)).toMatchObject({ credential: 'default', expires: expect.stringMatching(/^\d{4}-.*Z$/) });
    expect([await tokenOf(clientId, 'the-first-secret'), stdout.includes(stored())]).toEqual([undefined, false]);
    expect(await tokenOf(clientId, stored())).toBeDefined();
  });

  it('says which scope is missing and who can give it where the credential for IAM may not have it', async () => {
    using folder = createFolder();
    const { config, stored } = await setUp(folder, {
      iam: { url: `${emulator.url}/core/iam`, credential: 'default' },
    });
    const { code, stderr } = await run(['rotate', '--config', config]);
    expect([code, stored()]).toEqual([5, 'the-first-secret']);
    expect(stderr).toContain('The client of credentials.default is not allowed the scope services.iam');
    expect(stderr).toMatch(/Ask an administrator .* add services\.iam to .* allowedScopes, or set iam\.credential to /);
    expect(stderr).not.toMatch(/run `aritma-sidecar check`/);
  });

  it('with --no-wait says when to run it again, and then deletes the old secret', async () => {
    using folder = createFolder();
    const { clientId, config, stored } = await setUp(folder);
    const first = await run(['rotate', '--config', config, '--no-wait']);
    expect([first.code, jsonLines(first.stdout).at(-1)?.['kind']]).toEqual([0, 'waiting']);
    expect([await tokenOf(clientId, 'the-first-secret'), await tokenOf(clientId, stored())]).not.toContain(undefined);
    const second = await run(['rotate', '--config', config]);
    expect([second.code, jsonLines(second.stdout).at(-1)?.['kind']]).toEqual([0, 'rotated']);
    expect(await tokenOf(clientId, 'the-first-secret')).toBeUndefined();
  });

  it('hands the new secret to a program on its standard input, and deletes the old one only when it arrives here', async () => {
    using folder = createFolder();
    const out = `${folder.path}/stored.json`;
    const script = folder.write('store.sh', `#!/bin/sh\ncat > ${out}\n`, 0o700);
    const { clientId, config, secret } = await setUp(folder, {
      rotation: { overlap: '1s', exec: [script], journal: `${folder.path}/journal` },
    });
    const first = await run(['rotate', '--config', config]);
    expect([first.code, first.stderr]).toEqual([9, expect.stringContaining('ROTATION_NOT_RETIRED')]);
    const told = JSON.parse(readFileSync(out, 'utf8')) as { clientId: string; secret: string };
    expect([told.clientId, await tokenOf(clientId, told.secret)]).toEqual([clientId, expect.any(String)]);
    expect(await tokenOf(clientId, 'the-first-secret')).toBeDefined();
    folder.write('secret', told.secret);
    expect(secret).toBe(`${folder.path}/secret`);
    expect((await run(['rotate', '--config', config])).code).toBe(0);
    expect(await tokenOf(clientId, 'the-first-secret')).toBeUndefined();
  });

  it('exits 8 when the program fails, and goes on with the same secret when it works again', async () => {
    using folder = createFolder();
    const script = folder.write('store.sh', '#!/bin/sh\nexit 3\n', 0o700);
    const { clientId, config } = await setUp(folder, {
      rotation: { overlap: '1s', exec: [script], journal: `${folder.path}/journal` },
    });
    const failed = await run(['rotate', '--config', config]);
    expect([failed.code, failed.stderr]).toEqual([8, expect.stringContaining('ended: exit 3')]);
    folder.write('store.sh', `#!/bin/sh\nsed 's/.*"secret":"//; s/".*//' > ${folder.path}/secret\n`, 0o700);
    expect((await run(['rotate', '--config', config])).code).toBe(0);
    expect(await tokenOf(clientId, readFileSync(`${folder.path}/secret`, 'utf8').trim())).toBeDefined();
    expect(await tokenOf(clientId, 'the-first-secret')).toBeUndefined();
  });

  it('exits 8 and names the holder when somebody else is rotating', async () => {
    using folder = createFolder();
    const { config, secret } = await setUp(folder);
    const lock = await acquireLock(`${secret}.rotation.lock`);
    const { code, stderr } = await run(['rotate', '--config', config]);
    expect([code, stderr]).toEqual([8, expect.stringContaining(`pid: ${process.pid}`)]);
    await lock.release();
  });

  it('waits for whoever goes on with the rotation at the end of the overlap', async () => {
    using folder = createFolder();
    const { clientId, config, secret } = await setUp(folder);
    const running = run(['rotate', '--config', config, '--json']);
    const attempt = () => JSON.parse(readFileSync(`${secret}.rotation`, 'utf8')).attempt;
    const isStored = () => existsSync(`${secret}.rotation`) && attempt()?.phase === 'promoted';
    await until('the new secret is stored', isStored);
    const { retireAt } = attempt();
    await until('its lock is free', () => !existsSync(`${secret}.rotation.lock`));
    const lock = await acquireLock(`${secret}.rotation.lock`);
    await until('the overlap is over, and the lock was in the way', () => Date.now() > retireAt + 1000);
    await lock.release();
    const { code, stdout } = await running;
    expect([code, jsonLines(stdout).at(-1)?.['kind']]).toEqual([0, 'rotated']);
    expect(await tokenOf(clientId, 'the-first-secret')).toBeUndefined();
  });

  it.each([
    ['no IAM', { iam: { url: 'http://127.0.0.1:9/core/iam', credential: 'admin' } }, 6, 'IAM_UNAVAILABLE'],
    ['an administrator that is refused', { admin: 'wrong-secret-of-admin' }, 5, 'CREDENTIALS_REJECTED'],
    [
      'a secret in the environment',
      { source: { env: 'S' } },
      2,
      'needs kubernetes, exec, or a file as the first of secrets',
    ],
    ['an overlap beyond the lifetime', { rotation: { overlap: '91d' } }, 2, 'secretLifetime'],
    [
      'a Kubernetes Secret outside a pod',
      { rotation: { kubernetes: { secret: 's', key: 'k' } } },
      2,
      'config.yaml: credentials.default.rotation has kubernetes, but this is no Kubernetes pod',
    ],
    ['an exec without a journal', { rotation: { exec: ['true'] } }, 2, 'is required with exec'],
  ])('exits with the code of its cause for %s, and the secret is as it was', async (_what, given, exit, words) => {
    using folder = createFolder();
    const { clientId, config, stored } = await setUp(folder, given);
    const { code, stderr } = await run(['rotate', '--config', config], { env: { S: 'the-first-secret' } });
    expect([code, stderr]).toEqual([exit, expect.stringContaining(words)]);
    expect([stored(), await tokenOf(clientId, stored())]).toEqual(['the-first-secret', expect.any(String)]);
  });

  it.each(['nobody', 'constructor'])('exits 2 for a credential that does not exist: %s', async (name) => {
    using folder = createFolder();
    const { config } = await setUp(folder);
    const { code, stderr } = await run(['rotate', '--config', config, '--credential', name]);
    expect([code, stderr]).toEqual([2, expect.stringContaining(`${config}: credentials.${name} is not configured`)]);
  });
});
