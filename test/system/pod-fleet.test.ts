// Two pods of the rendered example share a token through the rendered store: its settings, TLS, and the user of the README.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parse } from 'yaml';
import { type Emulator, startEmulator } from '../../src/emulator/server.ts';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { makeCertificates } from '../support/certificates.ts';
import { readText } from '../support/deployment.ts';
import { createFolder, type Folder } from '../support/folder.ts';
import { freePort } from '../support/free-port.ts';
import { canKustomize, podOf, type Resource, render } from '../support/kustomize.ts';

const ROOT = join(import.meta.dirname, '../..');
const SERVER = ['valkey-server', 'redis-server'].find((program) => spawnSync(program, ['--version']).status === 0);
const canRun = SERVER !== undefined && canKustomize && spawnSync('openssl', ['version']).status === 0;
const PASSWORD = 'f'.repeat(64);

function settingsOf(resources: readonly Resource[], begin: string, file: string): string {
  const found = resources.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name.startsWith(begin));
  return found?.data?.[file] ?? '';
}

/** The README's user, with a password of this test. */
function users(): string {
  const [, lines = ''] = /<<ACL\n(.*?)\nACL\n/s.exec(readText('kubernetes/README.md')) ?? [];
  return `${lines.replace('$(cat valkey-password)', PASSWORD)}\n`;
}

function endAfterTest(child: ChildProcess): void {
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL')) await once(child, 'exit');
  });
}

describe.skipIf(!canRun && !process.env['CI'])('deploy/kubernetes/examples/fleet', () => {
  const certificates = makeCertificates((authority) => ({ server: authority.issue('aritma-valkey', 'IP:127.0.0.1') }));

  async function startStore(folder: Folder, resources: readonly Resource[]): Promise<number> {
    const { server } = certificates();
    const port = await freePort();
    const settings = settingsOf(resources, 'aritma-valkey', 'valkey.conf')
      .replace('/etc/valkey/tls/tls.crt', server.certFile)
      .replace('/etc/valkey/tls/tls.key', server.keyFile)
      .replace('/etc/valkey/users/users.acl', folder.write('users.acl', users()))
      .replace('dir /tmp', `dir ${folder.path}`)
      .replace('tls-port 6379', `tls-port ${port}\nbind 127.0.0.1`);
    const child = spawn(SERVER ?? 'valkey-server', [folder.write('valkey.conf', settings)]);
    endAfterTest(child);
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    await expect.poll(() => output).toMatch(/ready to accept connections/i);
    return port;
  }

  /** Writes the files that the pod mounts, and returns its sidecar's environment and arguments with their places. */
  function mount(folder: Folder, resources: readonly Resource[], emulator: Emulator, storePort: number) {
    const pod = resources.filter(({ metadata }) => metadata.name === 'erp').map(podOf)[0];
    const sidecar = pod?.initContainers?.[0];
    const here = (value: string) =>
      value.replaceAll('/etc/aritma-sidecar', folder.path).replaceAll('=/usr/local/bin', `=${ROOT}`);
    for (const name of ['config', 'secret', 'fleet', 'fleet-ca']) mkdirSync(join(folder.path, name));
    folder.write('secret/client-secret', DEMO_CLIENT.secrets[0]?.value ?? '', 0o444);
    folder.write('fleet/fleet-key', Buffer.alloc(32, 'key').toString('base64url'), 0o444);
    folder.write('fleet/valkey-password', PASSWORD, 0o444);
    folder.write('fleet-ca/ca.crt', certificates().authority.ca, 0o444);
    const text = settingsOf(resources, 'aritma-sidecar', 'config.yaml').replace(
      'aritma-valkey:6379',
      `127.0.0.1:${storePort}`,
    );
    const config = parse(here(text)) as { credentials: { default: object }; fleet: object };
    const client = { ...config.credentials.default, clientId: DEMO_CLIENT.clientId };
    const aimed = {
      ...config,
      ...{ environment: 'emulator', listen: '127.0.0.1:0', admin: '127.0.0.1:0' },
      credentials: { default: { ...client, tokenEndpoint: `${emulator.url}/connect/token` } },
      routes: [{ path: '/banking', upstream: `${emulator.url}/banking/api` }],
      // Longer than a busy machine takes: a store that is slow would be left out.
      fleet: { ...config.fleet, timeout: '10s' },
    };
    folder.write('config/config.yaml', JSON.stringify(aimed), 0o444);
    const env = Object.fromEntries((sidecar?.env ?? []).map(({ name, value }) => [name, here(value)]));
    return { env: { ...env, KUBERNETES_SERVICE_HOST: '127.0.0.1' }, args: (sidecar?.args ?? []).map(here) };
  }

  it('gets one token for two pods, over TLS, with the rights of the user and those of Node', async () => {
    const folder = createFolder();
    onTestFinished(() => folder[Symbol.dispose]());
    const emulator = await startEmulator({ port: 0 });
    onTestFinished(() => emulator.close());
    const resources = render('fleet');
    const storePort = await startStore(folder, resources);
    const { env, args } = mount(folder, resources, emulator, storePort);
    const start = async () => {
      const child = spawn(process.execPath, [join(ROOT, 'src/main.ts'), ...args], { env });
      endAfterTest(child);
      let output = '';
      for (const stream of [child.stdout, child.stderr])
        stream.setEncoding('utf8').on('data', (text: string) => {
          output += text;
        });
      const addressOf = (whom: string) =>
        new RegExp(`"address":"([^"]+)","message":"listening for ${whom}"`).exec(output)?.[1];
      await expect.poll(() => addressOf('callers') ?? output).toMatch(/^http:/);
      return { url: addressOf('callers') ?? '', admin: addressOf('operators') ?? '', output: () => output };
    };
    const pods = await Promise.all([start(), start()]);
    for (const { url, admin, output } of pods) {
      expect([(await fetch(`${url}/banking/accounts`)).status, output()]).toEqual([200, expect.any(String)]);
      const metrics = await (await fetch(`${admin}/metrics`)).text();
      expect(metrics).toMatch(/^aritma_sidecar_fleet_up 1$/m);
      expect(metrics).not.toMatch(/^aritma_sidecar_fleet_operations_total\{.*result="(?!ok)/m);
    }
    const counters = (await (await fetch(`${emulator.url}/_emulator/counters`)).json()) as object;
    expect(counters).toMatchObject({ tokenRequests: 1, requests: { banking: 2 } });
  });
});
