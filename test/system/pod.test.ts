// The sidecar of the rendered examples as a process: its arguments, its NODE_OPTIONS, its configuration and its probes, on
// files as the kubelet lays them out.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parse } from 'yaml';
import { type Emulator, startEmulator } from '../../src/emulator/server.ts';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { createFolder, type Folder } from '../support/folder.ts';
import { freePort } from '../support/free-port.ts';
import { type Container, canKustomize, podOf, render } from '../support/kustomize.ts';

const ROOT = join(import.meta.dirname, '../..');
const MAIN = join(ROOT, 'src/main.ts');

interface Pod {
  readonly child: ChildProcess;
  readonly port: number;
  readonly admin: number;
  readonly folder: Folder;
  readonly emulator: Emulator;
  output(): string;
  /** Runs another command of the manifest, a hook for example; its exit code. */
  exec(command: readonly string[]): Promise<number | null>;
  /** As the kubelet does: a new folder, then the link to it. */
  mount(secret: string, version: string): void;
}

const start = async (example: string): Promise<Pod & { sidecar: Container }> => {
  const folder = createFolder();
  onTestFinished(() => folder[Symbol.dispose]());
  const emulator = await startEmulator({ port: 0 });
  onTestFinished(() => emulator.close());
  const resources = render(example);
  const pod = resources.filter(({ metadata }) => metadata.name === 'erp').map(podOf)[0];
  const sidecar = [...(pod?.initContainers ?? []), ...(pod?.containers ?? [])][0];
  const text = resources.find(
    ({ kind, metadata }) => kind === 'ConfigMap' && metadata.name.startsWith('aritma-sidecar-'),
  )?.data?.['config.yaml'];
  if (!sidecar || text === undefined) throw new Error('no sidecar');
  const [port, admin] = [await freePort(), await freePort()];
  /** The manifest's paths and ports as this test's own. */
  const here = (value: string) =>
    value
      .replaceAll('/etc/aritma-sidecar', join(folder.path, 'etc'))
      .replaceAll('/run/aritma-sidecar', join(folder.path, 'run'))
      // Here it is run by Node from this folder.
      .replaceAll('=/usr/local/bin', `=${ROOT}`)
      .replaceAll('0.0.0.0:7090', `127.0.0.1:${admin}`)
      .replaceAll('127.0.0.1:7080', `127.0.0.1:${port}`);
  for (const name of ['etc', 'run', 'etc/config', 'etc/secret']) mkdirSync(join(folder.path, name));
  const mount = (secret: string, version: string) => {
    const place = join(folder.path, 'etc/secret');
    mkdirSync(join(place, `..${version}`));
    writeFileSync(join(place, `..${version}`, 'client-secret'), secret, { mode: 0o444 });
    symlinkSync(`..${version}`, join(place, '..data_tmp'));
    renameSync(join(place, '..data_tmp'), join(place, '..data'));
  };
  mount(DEMO_CLIENT.secrets[0]?.value ?? '', '1');
  symlinkSync('..data/client-secret', join(folder.path, 'etc/secret/client-secret'));
  folder.write('etc/config/config.yaml', JSON.stringify(aimed(here(text), emulator.url)), 0o444);
  const env = Object.fromEntries((sidecar.env ?? []).map(({ name, value }) => [name, here(value)]));
  const run = (args: readonly string[]) =>
    spawn(process.execPath, [MAIN, ...args.map(here)], { env: { ...env, KUBERNETES_SERVICE_HOST: '127.0.0.1' } });
  const child = run(sidecar.args ?? []);
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  let output = '';
  const collect = (part: string) => {
    output += part;
  };
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', collect);
  const exec = async (command: readonly string[]) => {
    const [code] = (await once(run(command.slice(1)), 'exit')) as [number | null];
    return code;
  };
  return { child, port, admin, folder, emulator, sidecar, output: () => output, exec, mount };
};

/** The same configuration with the emulator in place of Aritma, and no ERP that still has calls to make. */
function aimed(text: string, url: string): object {
  const config = parse(text) as { credentials: { default: object }; routes: { path: string }[] };
  const client = {
    ...config.credentials.default,
    clientId: DEMO_CLIENT.clientId,
    tokenEndpoint: `${url}/connect/token`,
  };
  const routes = config.routes.map((route) => ({
    ...route,
    upstream: route.path === '/banking' ? `${url}/banking/api` : `${url}/events`,
  }));
  return { ...config, environment: 'none', credentials: { default: client }, routes, drain: { limit: '5s' } };
}

const statusOf = async (url: string) => (await fetch(url).catch(() => undefined))?.status;

async function untilProbesSayYes({ sidecar, admin }: Pod & { sidecar: Container }): Promise<void> {
  for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) {
    const { httpGet } = sidecar[probe] as { httpGet: { path: string } };
    await expect.poll(() => statusOf(`http://127.0.0.1:${admin}${httpGet.path}`)).toBe(200);
  }
}

function ask(socketPath: string, method: string, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request({ socketPath, method, path, agent: false }, (answer) => resolve(answer.resume().statusCode))
      .on('error', reject)
      .end();
  });
}

describe.skipIf(!canKustomize && !process.env['CI'])('the sidecar of deploy/kubernetes', () => {
  it('starts under its own NODE_OPTIONS, serves, takes a new secret from its volume, and stops', async () => {
    const pod = await start('deployment');
    await untilProbesSayYes(pod);
    expect(await statusOf(`http://127.0.0.1:${pod.port}/banking/accounts`)).toBe(200);
    expect(await statusOf(`http://127.0.0.1:${pod.port}/banking/secrets`)).toBe(403);
    const body = JSON.stringify({ value: 'a-secret-after-rotation' });
    const headers = { 'Content-Type': 'application/json' };
    const place = `${pod.emulator.url}/_emulator/clients/${DEMO_CLIENT.clientId}/secrets`;
    expect((await fetch(place, { method: 'POST', headers, body })).status).toBe(201);
    pod.mount('a-secret-after-rotation', '2');
    await expect.poll(pod.output).toContain('"message":"configuration reloaded"');
    pod.child.kill('SIGTERM');
    expect(await once(pod.child, 'exit')).toEqual([0, null]);
    expect(pod.output()).not.toMatch(/ERR_ACCESS_DENIED|can be read by|"level":"error"/);
  });

  it('listens on its Unix socket where the ERP shares the folder', async () => {
    const pod = await start('socket');
    await untilProbesSayYes(pod);
    expect(await ask(join(pod.folder.path, 'run/callers.sock'), 'GET', '/banking/accounts')).toBe(200);
    expect(await statusOf(`http://127.0.0.1:${pod.port}/banking/accounts`)).toBeUndefined();
  });

  it('on an older cluster, the hook waits for it and the ERP ends it through the admin socket', async () => {
    const pod = await start('older-job');
    const { postStart } = pod.sidecar['lifecycle'] as { postStart: { exec: { command: string[] } } };
    expect(await pod.exec(postStart.exec.command)).toBe(0);
    expect(await statusOf(`http://127.0.0.1:${pod.port}/banking/accounts`)).toBe(200);
    expect(await fetch(`http://127.0.0.1:${pod.admin}/shutdown`, { method: 'POST' }).then(({ status }) => status)).toBe(
      403,
    );
    expect(await ask(join(pod.folder.path, 'run/admin.sock'), 'POST', '/shutdown')).toBe(202);
    const [code] = (await once(pod.child, 'exit')) as [number];
    expect(code).toBe(0);
  });
});
