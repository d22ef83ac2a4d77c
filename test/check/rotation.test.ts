// What the doctor says of rotations to come, with a local Aritma.
import { chmodSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { diagnose } from '../../src/check/check.ts';
import type { Finding } from '../../src/check/finding.ts';
import { startEmulator } from '../../src/emulator/server.ts';
import { ADMIN_CLIENT, DEMO_CLIENT } from '../../src/emulator/store.ts';
import { createFolder, type Folder } from '../support/folder.ts';

const secretOf = (index: number) => ({
  ...{ clientSecretId: `s-${index}`, value: `secret-number-${index}`, description: `number ${index}` },
});
const inTenDays = new Date(Date.now() + 10.5 * 86_400_000).toISOString();
const emulator = await startEmulator({
  port: 0,
  clients: [
    ADMIN_CLIENT,
    { ...DEMO_CLIENT, clientId: 'one', secrets: [{ ...secretOf(1), expiration: inTenDays }] },
    { ...DEMO_CLIENT, clientId: 'two', secrets: [secretOf(1), secretOf(2)] },
    { ...DEMO_CLIENT, clientId: 'three', secrets: [secretOf(1), secretOf(2), secretOf(3)] },
  ],
});
afterAll(() => emulator.close());

const EVERY = { rotation: { every: '60d' } };

async function examine(folder: Folder, clientId: string, iam: object = {}, rotation?: object) {
  const tokenEndpoint = `${emulator.url}/connect/token`;
  const file = folder.write('secret', 'secret-number-1');
  const admin = folder.write('admin', ADMIN_CLIENT.secrets[0]?.value ?? '');
  const config = {
    ...{ listen: '127.0.0.1:0', admin: '127.0.0.1:0', routes: [{ path: '/', upstream: `${emulator.url}/events` }] },
    credentials: {
      default: { tokenEndpoint, clientId, secrets: [{ file }], scope: 'api', ...(rotation ?? EVERY) },
      admin: { tokenEndpoint, clientId: ADMIN_CLIENT.clientId, secrets: [{ file: admin }] },
    },
    iam: { url: `${emulator.url}/core/iam`, credential: 'admin', ...iam },
  };
  const all: Finding[] = [];
  const path = folder.write('config.yaml', JSON.stringify(config));
  const onFinding = (finding: Finding) => void all.push(finding);
  const code = await diagnose({ file: path, env: {} }, { upstream: false, preconditions: async () => [], onFinding });
  return { code, findings: all.filter(({ subject }) => subject === 'rotation default') };
}

describe('check/rotation', () => {
  it('says how many secrets are live and when the first expires', async () => {
    using folder = createFolder();
    const message = 'Aritma IAM lists 1 live secret, the first expires in 10 days';
    expect(await examine(folder, 'one')).toEqual({
      code: 0,
      findings: [{ level: 'ok', subject: 'rotation default', message }],
    });
  });

  it('warns of a client that has too many to be rotated, and exits 0: calls are served', async () => {
    using folder = createFolder();
    const { code, findings } = await examine(folder, 'three');
    expect([code, findings]).toMatchObject([0, [{ level: 'warning', code: 'ROTATION_TOO_MANY_SECRETS' }]]);
  });

  it('warns of a second one where a rotation would make the third, and of none in the middle of a rotation', async () => {
    using folder = createFolder();
    const levels = async (rotation?: object) => (await examine(folder, 'two', {}, rotation)).findings;
    const warning = { level: 'warning', code: 'ROTATION_TOO_MANY_SECRETS' };
    expect(await levels()).toMatchObject([warning]);
    // Who rotates by hand has two in between.
    expect(await levels({})).toMatchObject([{ level: 'ok' }]);
    const attempt = {
      ...{ phase: 'promoted', description: 'number 2', value: 'secret-number-2' },
      ...{ expiresAt: Date.now() + 1e9, startedAt: Date.now(), retire: ['s-1'], retireAt: Date.now() + 1e6 },
    };
    const journal = { version: 1, id: '12345678', clientId: 'two', since: 1 };
    folder.write('secret.rotation', JSON.stringify({ ...journal, attempt }));
    expect(await levels()).toMatchObject([{ level: 'ok' }]);
    folder.write('secret.rotation', JSON.stringify(journal));
    expect(await levels()).toMatchObject([warning]);
    folder.write('secret.rotation', 'no journal');
    const broken = {
      level: 'warning',
      code: 'ROTATION_JOURNAL_INVALID',
      fix: expect.stringContaining('Restore a backup'),
    };
    expect(await levels()).toMatchObject([broken]);
  });

  it.each([
    ['refuses', { scope: 'api' }, 'CREDENTIALS_REJECTED'],
    ['is something else', { url: `${emulator.url}/events` }, 'IAM_NOT_FOUND'],
    ['is not there', { url: 'http://127.0.0.1:9/core/iam' }, 'IAM_UNAVAILABLE'],
  ])('warns where IAM %s, and exits 0', async (_what, iam, expected) => {
    using folder = createFolder();
    const { code, findings } = await examine(folder, 'one', iam);
    const warning = { level: 'warning', code: expected, fix: expect.stringContaining('iam.url') };
    expect([code, findings]).toMatchObject([0, [warning]]);
  });

  it('warns of a journal in a folder that does not exist, and exits 0', async () => {
    using folder = createFolder();
    const journal = `${folder.path}/none/journal`;
    const { code, findings } = await examine(folder, 'one', {}, { rotation: { every: '60d', journal } });
    const warning = { level: 'warning', code: 'ROTATION_STORE_FAILED', cause: 'store_folder_missing' };
    const fix = expect.stringContaining(`create ${folder.path}/none`);
    expect([code, findings]).toMatchObject([0, expect.arrayContaining([expect.objectContaining({ ...warning, fix })])]);
  });

  it.skipIf(process.getuid?.() === 0)('warns of a folder that cannot be written', async () => {
    using folder = createFolder();
    await examine(folder, 'one');
    chmodSync(folder.path, 0o500);
    const { findings } = await examine(folder, 'one');
    chmodSync(folder.path, 0o700);
    expect(findings).toContainEqual(expect.objectContaining({ code: 'ROTATION_STORE_FAILED' }));
  });
});
