/** `dist/main.js` with a fleet and a real store: two processes share a token, and none prints a secret, whatever DEBUG says. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startEmulator } from '../../src/emulator/server.ts';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { addressesOf, start } from '../support/cli.ts';
import { createFolder, type Folder } from '../support/folder.ts';
import { freePort } from '../support/free-port.ts';

const ROOT = join(import.meta.dirname, '../..');
const SERVER = ['valkey-server', 'redis-server'].find((program) => spawnSync(program, ['--version']).status === 0);
const PASSWORD = 'canary-password-of-the-store';
const KEY = Buffer.alloc(32, 'canary').toString('base64url');

async function startStore(folder: Folder): Promise<number> {
  const port = await freePort();
  const settings = `port ${port}\nbind 127.0.0.1\nrequirepass ${PASSWORD}\nsave ""\nappendonly no\ndir ${folder.path}\n`;
  const child = spawn(SERVER ?? 'valkey-server', [folder.write('store.conf', settings)]);
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL')) await once(child, 'exit');
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  await expect.poll(() => output).toMatch(/ready to accept connections/i);
  return port;
}

describe.skipIf(SERVER === undefined && !process.env['CI'])('the npm package with a fleet', () => {
  it('shares one token between two processes and prints no secret, even with DEBUG=*', async () => {
    const folder = createFolder();
    onTestFinished(() => folder[Symbol.dispose]());
    execFileSync(process.execPath, [join(ROOT, 'deploy/package/build.ts'), join(folder.path, 'built')]);
    const emulator = await startEmulator({ port: 0 });
    onTestFinished(() => emulator.close());
    const port = await startStore(folder);
    const client = {
      tokenEndpoint: `${emulator.url}/connect/token`,
      clientId: DEMO_CLIENT.clientId,
      secrets: [{ file: folder.write('secret', DEMO_CLIENT.secrets[0]?.value ?? '') }],
      scope: 'api',
    };
    const fleet = {
      url: `redis://127.0.0.1:${port}`,
      password: { file: folder.write('password', PASSWORD) },
      keys: [{ file: folder.write('fleet-key', KEY) }],
      // Longer than a busy machine takes: a store that is slow would be left out.
      timeout: '10s',
    };
    const config = {
      ...{ listen: '127.0.0.1:0', admin: '127.0.0.1:0', credentials: { default: client }, fleet },
      routes: [{ path: '/banking', upstream: `${emulator.url}/banking/api` }],
    };
    const file = folder.write('config.yaml', JSON.stringify(config));
    const program = [process.execPath, join(folder.path, 'built/main.js')];
    const members = [0, 1].map(() => start(['serve', '--config', file], { program, env: { DEBUG: '*' } }));
    for (const member of members) onTestFinished(() => member[Symbol.asyncDispose]());
    for (const { url, adminUrl } of await Promise.all(members.map(addressesOf))) {
      expect((await fetch(`${url}/banking/accounts`)).status).toBe(200);
      expect(await (await fetch(`${adminUrl}/metrics`)).text()).toMatch(/^aritma_sidecar_fleet_up 1$/m);
    }
    const counters = (await (await fetch(`${emulator.url}/_emulator/counters`)).json()) as object;
    expect(counters).toMatchObject({ tokenRequests: 1, requests: { banking: 2 } });
    for (const member of members) member.kill('SIGTERM');
    for (const { code, stdout, stderr } of await Promise.all(members.map(({ ended }) => ended))) {
      expect(code).toBe(0);
      expect(`${stdout}${stderr}`).not.toMatch(new RegExp(`${PASSWORD}|${KEY}|eyJ`));
    }
  });
});
