// deploy/compose/fleet.yaml as far as it can be tried without Docker: every path, port and name fits, its script makes keys that
// are accepted, and three sidecars with its configuration share one token through a store with its settings.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parse } from 'yaml';
import { startEmulator } from '../../src/emulator/server.ts';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { addressesOf, start } from '../support/cli.ts';
import { DEPLOY, readText } from '../support/deployment.ts';
import { createFolder, type Folder, load } from '../support/folder.ts';
import { freePort } from '../support/free-port.ts';

const FOLDER = join(DEPLOY, 'compose');
const SERVER = ['valkey-server', 'redis-server'].find((program) => spawnSync(program, ['--version']).status === 0);

interface Service {
  readonly image: string;
  readonly read_only: boolean;
  readonly cap_drop: readonly string[];
  readonly cap_add?: readonly string[];
  readonly security_opt: readonly string[];
  readonly user: string;
  readonly restart: string;
  readonly command?: readonly string[];
  readonly network_mode?: string;
  readonly stop_grace_period?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly healthcheck?: { readonly test?: readonly string[] };
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
}

const compose = parse(readText('compose/fleet.yaml'), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
};
const ALL = Object.entries(compose.services);
const named = (name: string): Service => {
  const service = compose.services[name];
  if (!service) throw new Error(`no service ${name}`);
  return service;
};
const MEMBERS = ['1', '2', '3'];

/** What the service `keys` leaves in its volume. */
function makeKeys(folder: Folder): void {
  const owner = `${process.getuid?.()}:${process.getgid?.()}`;
  const env = { PATH: process.env['PATH'] ?? '', FOLDER: folder.path, OWNER: owner };
  execFileSync('sh', [join(FOLDER, 'fleet-keys.sh')], { env, timeout: 10_000 });
}

/** The configuration of the sidecars, with this machine's places. */
function configIn(folder: Folder, { emulator = 'http://emulator:7100', store = 'valkey:6379' } = {}): string {
  return (
    readText('compose/fleet-sidecar.yaml')
      // Longer than a busy machine takes: a store that is slow would be left out.
      .replace('fleet:\n', 'fleet:\n  timeout: 10s\n')
      .replaceAll('http://emulator:7100', emulator)
      .replaceAll('valkey:6379', store)
      .replaceAll('/etc/aritma-sidecar/client-secret', join(folder.path, 'client-secret'))
      .replaceAll('/run/secrets', folder.path)
  );
}

describe('deploy/compose/fleet.yaml', () => {
  it.each(ALL)('%s: an image that can be pinned, and no right it does not need', (name, service) => {
    expect(service.image).toMatch(/^\$\{[A-Z]+_IMAGE:-[a-z/-]+:[a-z0-9.-]+\}$/);
    const { read_only, cap_drop, security_opt, cap_add } = service;
    expect({ read_only, cap_drop, security_opt, cap_add }).toEqual({
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
      cap_add: name === 'keys' ? ['CHOWN'] : undefined,
    });
    expect(service.user === '0:0').toBe(name === 'keys');
  });

  it('mounts only what exists, read-only but for the service that makes the keys, and volumes that are declared', () => {
    const mounts = ALL.flatMap(([name, { volumes = [] }]) =>
      volumes.map((text) => [name, ...text.split(':')] as const),
    );
    expect(mounts.length).toBeGreaterThan(10);
    for (const [name, source = '', , mode] of mounts) {
      if (source.startsWith('.')) expect(existsSync(join(FOLDER, source))).toBe(true);
      else expect(Object.keys(compose.volumes)).toContain(source);
      expect([name, source, mode]).toEqual([name, source, name === 'keys' && source === 'keys' ? undefined : 'ro']);
    }
  });

  it('publishes on this machine only: the status of each sidecar, and the local Aritma; not the store', () => {
    const ports = ALL.flatMap(([, { ports: published = [] }]) => published);
    expect(ports).toEqual([...MEMBERS.map((number) => `127.0.0.1:709${number}:7090`), '127.0.0.1:7100:7100']);
  });

  it('has each sidecar in the network of its own ERP, all alike, after the keys and without waiting for the store', () => {
    const members = MEMBERS.map((number) => named(`sidecar-${number}`));
    expect(members.map(({ network_mode }) => network_mode)).toEqual(MEMBERS.map((number) => `service:erp-${number}`));
    for (const { network_mode: _, ...member } of members) {
      const { network_mode: __, ...first } = named('sidecar-1');
      expect(member).toEqual(first);
    }
    const { depends_on, volumes = [], environment, user } = named('sidecar-1');
    expect(Object.entries(depends_on ?? {}).map(([name, { condition }]) => [name, condition])).toEqual([
      ['keys', 'service_completed_successfully'],
      ['emulator', 'service_started'],
    ]);
    for (const place of volumes.map((text) => text.split(':')[1] ?? '')) {
      const readable = [...(environment?.['NODE_OPTIONS'] ?? '').matchAll(/--allow-fs-read=(\S+)/g)].map(
        ([, path]) => path,
      );
      expect(readable.some((path) => place.startsWith(path ?? '-'))).toBe(true);
    }
    expect(readText('compose/fleet-keys.sh')).toContain(`OWNER:-${user}`);
    expect(named('valkey').user).toBe(user);
    expect(named('valkey').healthcheck?.test).toEqual(['CMD', 'valkey-cli', 'ping']);
  });

  it('has a configuration that loads with the keys that its script makes', () => {
    using folder = createFolder();
    makeKeys(folder);
    folder.write('client-secret', readText('compose/client-secret'));
    const { config, fleetSecrets, warnings } = load(folder, { yaml: configIn(folder) });
    expect(config.fleet?.url).toEqual({ host: 'valkey', port: 6379, secure: false, user: 'aritma', database: 0 });
    expect([fleetSecrets?.keys.length, fleetSecrets?.password === undefined]).toEqual([1, false]);
    const { drain } = config;
    const grace = Number.parseInt(named('sidecar-1').stop_grace_period ?? '', 10) * 1000;
    expect(grace).toBeGreaterThan(drain.minimum + drain.limit);
    expect(warnings.filter((text) => text.includes(folder.path))).toEqual([]);
  });
});

describe('deploy/compose/fleet-keys.sh', () => {
  it('makes files that their owner alone can read, other ones each time, and leaves existing ones alone', () => {
    using one = createFolder();
    using other = createFolder();
    for (const folder of [one, other]) makeKeys(folder);
    const contents = (folder: Folder) =>
      Object.fromEntries(
        readdirSync(folder.path)
          .sort()
          .map((name) => [name, readFileSync(join(folder.path, name), 'utf8')]),
      );
    const made = contents(one);
    expect(Object.keys(made)).toEqual(['fleet-key', 'users.acl', 'valkey-password']);
    for (const name of Object.keys(made)) expect(statSync(join(one.path, name)).mode & 0o777).toBe(0o600);
    for (const name of Object.keys(made)) expect(contents(other)[name]).not.toBe(made[name]);
    makeKeys(one);
    expect(contents(one)).toEqual(made);
  });
});

describe('the user of the store', () => {
  it('has the same rights in every example', () => {
    const rightsIn = (file: string) => /^user aritma on >.*( resetchannels .*)$/m.exec(readText(file))?.[1];
    expect(rightsIn('compose/fleet-keys.sh')).toMatch(/^ resetchannels ~aritma:\* &aritma:\*( \+[a-z]+)+$/);
    expect(rightsIn('kubernetes/README.md')).toBe(rightsIn('compose/fleet-keys.sh'));
  });
});

describe.skipIf(SERVER === undefined && !process.env['CI'])('three sidecars with that configuration', () => {
  async function startStore(folder: Folder): Promise<{ port: number; child: ChildProcess }> {
    const port = await freePort();
    const settings = readText('compose/valkey.conf')
      .replaceAll('/run/secrets', folder.path)
      .replace('dir /tmp', `dir ${folder.path}`);
    const file = folder.write('valkey.conf', `${settings}\nbind 127.0.0.1\nport ${port}\n`);
    const child = spawn(SERVER ?? 'valkey-server', [file], { stdio: ['ignore', 'pipe', 'ignore'] });
    onTestFinished(async () => {
      if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL')) await once(child, 'exit');
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    await expect.poll(() => output).toMatch(/ready to accept connections/i);
    return { port, child };
  }

  it('get one token together through a store with those settings and that user, and pay without it too', async () => {
    const folder = createFolder();
    onTestFinished(() => folder[Symbol.dispose]());
    makeKeys(folder);
    folder.write('client-secret', readText('compose/client-secret'));
    const emulator = await startEmulator({ port: 0 });
    onTestFinished(() => emulator.close());
    const store = await startStore(folder);
    const text = configIn(folder, { emulator: emulator.url, store: `127.0.0.1:${store.port}` });
    const file = folder.write('config.yaml', text);
    const members = MEMBERS.map(() => {
      const flags = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'];
      const running = start(['serve', '--config', file, ...flags]);
      onTestFinished(() => running[Symbol.asyncDispose]());
      return running;
    });
    const bases = await Promise.all(members.map(addressesOf));
    const tokenRequests = async () =>
      ((await (await fetch(`${emulator.url}/_emulator/counters`)).json()) as { tokenRequests: number }).tokenRequests;
    for (const { url, adminUrl } of bases) {
      expect((await fetch(`${url}/banking/accounts`)).status).toBe(200);
      await expect
        .poll(async () => (await fetch(`${adminUrl}/metrics`)).text())
        .toMatch(/^aritma_sidecar_fleet_members [23]$/m);
    }
    expect(await tokenRequests()).toBe(1);
    store.child.kill('SIGKILL');
    await fetch(`${emulator.url}/_emulator/tokens/revoke`, { method: 'POST' });
    for (const { url } of bases) expect((await fetch(`${url}/banking/accounts`)).status).toBe(200);
    expect(await tokenRequests()).toBe(1 + MEMBERS.length);
    expect(DEMO_CLIENT.secrets[0]?.value).toBe(readText('compose/client-secret').trim());
  });
});
