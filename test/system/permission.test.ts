/** Node's permission model around the sidecar: everything it does still works, and what it has no business with does not. */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Emulator, startEmulator } from '../../src/emulator/server.ts';
import { ADMIN_CLIENT, DEMO_CLIENT } from '../../src/emulator/store.ts';
import { type CliOptions, run, start } from '../support/cli.ts';
import { createFolder, type Folder } from '../support/folder.ts';
import { until } from '../support/until.ts';

const ROOT = join(import.meta.dirname, '../..');

let emulator: Emulator;
beforeAll(async () => {
  emulator = await startEmulator({ port: 0 });
});
afterAll(() => emulator.close());

/** The program with its own files to read, and of everything else what an installation gives it. */
function permitted(folder: Folder): CliOptions {
  const read = [`${ROOT}/src/*`, `${ROOT}/node_modules/*`, `${ROOT}/package.json`, `${folder.path}/*`, '/proc/*'];
  const write = ['secret', 'run', 'audit'].map((name) => `${folder.path}/${name}/*`);
  const flags = ['--permission', '--allow-net', '--disable-warning=ExperimentalWarning'];
  const paths = [...read.map((path) => `--allow-fs-read=${path}`), ...write.map((path) => `--allow-fs-write=${path}`)];
  return { program: [process.execPath, ...flags, ...paths, join(ROOT, 'src/main.ts')], cwd: folder.path };
}

function setUp(folder: Folder, over: object = {}): string {
  for (const name of ['secret', 'run', 'audit']) mkdirSync(join(folder.path, name));
  const tokenEndpoint = `${emulator.url}/connect/token`;
  folder.write('secret/value', DEMO_CLIENT.secrets[0]?.value ?? '');
  folder.write('secret/admin', ADMIN_CLIENT.secrets[0]?.value ?? '');
  const secrets = [{ file: 'secret/value' }];
  return folder.write(
    'config.yaml',
    JSON.stringify({
      listen: `unix:${folder.path}/run/sidecar.sock`,
      admin: `unix:${folder.path}/run/admin.sock`,
      credentials: {
        default: { tokenEndpoint, clientId: DEMO_CLIENT.clientId, secrets, scope: 'api', rotation: { overlap: '1s' } },
        admin: { tokenEndpoint, clientId: ADMIN_CLIENT.clientId, secrets: [{ file: 'secret/admin' }] },
      },
      iam: { url: `${emulator.url}/core/iam`, credential: 'admin' },
      routes: [{ path: '/', upstream: `${emulator.url}/echo` }],
      audit: { file: `${folder.path}/audit/log`, maxSize: '1KiB' },
      ...over,
    }),
  );
}

describe('under --permission', () => {
  it('serves with a token, audits, rotates its secret by command, notices that, and stops in order', async () => {
    using folder = createFolder();
    const config = setUp(folder);
    await using sidecar = start(['serve', '--config', config], permitted(folder));
    await sidecar.untilStdout(/listening for callers/);
    const client = new Client('http://localhost', { socketPath: join(folder.path, 'run/sidecar.sock') });
    const post = async () => {
      const { statusCode, body } = await client.request({ method: 'POST', path: '/x', body: 'y' });
      await body.dump();
      return statusCode;
    };
    for (let call = 0; call < 8; call += 1) expect(await post()).toBe(200);
    // Longer than one file may be: setting one aside works, too.
    await until('the audit log was set aside', () => auditFiles(folder).length > 1);

    const before = readFileSync(join(folder.path, 'secret/value'), 'utf8');
    const rotated = await run(['rotate', '--config', config, '--json'], permitted(folder));
    expect([rotated.code, rotated.stderr]).toEqual([0, '']);
    expect(readFileSync(join(folder.path, 'secret/value'), 'utf8')).not.toBe(before);
    await sidecar.untilStdout(/"message":"configuration (?:re)?loaded|"generation":2/);
    expect(await post()).toBe(200);
    await client.destroy();
    sidecar.kill('SIGTERM');
    const { code, stderr } = await sidecar.ended;
    expect([code, stderr]).toEqual([0, '']);
  });

  it('reads no file outside of what it was given', async () => {
    using folder = createFolder();
    using elsewhere = createFolder();
    const secrets = [{ file: elsewhere.write('secret', 'not-a-real-one') }];
    const config = setUp(folder, { credentials: { default: { clientId: 'x', tokenEndpoint: emulator.url, secrets } } });
    const { code, stderr } = await run(['serve', '--config', config], permitted(folder));
    expect([code, stderr]).toEqual([2, expect.stringContaining('cannot be read (ERR_ACCESS_DENIED)')]);
  });

  it('starts no program: a rotation that needs one says so', async () => {
    using folder = createFolder();
    const config = setUp(folder);
    const document = JSON.parse(readFileSync(config, 'utf8')) as { credentials: { default: Record<string, unknown> } };
    document.credentials.default['rotation'] = { exec: ['/bin/true'], journal: `${folder.path}/secret/journal` };
    folder.write('config.yaml', JSON.stringify(document));
    const { code, stderr } = await run(['rotate', '--config', config, '--no-wait'], permitted(folder));
    expect([code, stderr]).toEqual([8, expect.stringContaining('ERR_ACCESS_DENIED')]);
  });
});

function auditFiles(folder: Folder): string[] {
  return readdirSync(join(folder.path, 'audit')).filter((name) => name.startsWith('log'));
}
