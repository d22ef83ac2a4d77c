// The units as files: what systemd says of them, whether their parts fit one another and the configuration, and that the
// scripts that install them can be run again and again.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { DEPLOY, readText } from '../support/deployment.ts';
import { createFolder, type Folder, load } from '../support/folder.ts';

const FOLDER = join(DEPLOY, 'systemd');
const UNITS = ['aritma-sidecar.service', 'aritma-sidecar@.service'];
const SCRIPTS = ['install.sh', 'uninstall.sh'];
const isThere = (tool: string) => Boolean(process.env['CI']) || spawnSync(tool, ['--version']).status === 0;

/** Every value a setting has, in order. */
function setting(unit: string, name: string): string[] {
  return [...unit.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value = '']) => value);
}

function environmentOf(unit: string): Record<string, string> {
  const pairs = setting(unit, 'Environment').map((line) => line.replaceAll('"', ''));
  return Object.fromEntries(pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]));
}

const seconds = (unit: string, name: string) => Number(/^(\d+)s$/.exec(setting(unit, name)[0] ?? '')?.[1]);

describe.skipIf(!isThere('systemd-analyze'))('systemd-analyze', () => {
  it.each(UNITS)('finds %s well protected: 1.5 of 10 at most', (unit) => {
    const args = ['security', '--offline=yes', '--threshold=15', '--no-pager', join(FOLDER, unit)];
    const { status, stdout } = spawnSync('systemd-analyze', args, { encoding: 'utf8' });
    expect(stdout).toMatch(/Overall exposure level for \S+: 1\.[0-5]/);
    expect(status).toBe(0);
  });

  it.each(UNITS)('understands every line of %s', (unit) => {
    const name = unit.replace('@', '@oslo');
    using folder = createFolder();
    folder.write(
      name,
      readFileSync(join(FOLDER, unit), 'utf8').replace('/usr/local/bin/aritma-sidecar ', '/bin/true '),
    );
    const { stderr } = spawnSync('systemd-analyze', ['verify', join(folder.path, name)], { encoding: 'utf8' });
    // Of systemd 260; an older one says that it skips it.
    const isNewer = (line: string) => /Unknown key (name )?'RefreshOnReload'/.test(line);
    expect(stderr.split('\n').filter((line) => line.includes(name) && !isNewer(line))).toEqual([]);
  });
});

describe.each(UNITS)('%s', (name) => {
  const unit = readText(`systemd/${name}`);

  it('has systemd read the secret again on a reload, which the sidecar hears of after that', () => {
    expect([setting(unit, 'RefreshOnReload'), setting(unit, 'ExecReload')]).toEqual([
      ['credentials'],
      ["/bin/sh -c 'kill -HUP $MAINPID'"],
    ]);
  });

  it('has the secret where the sidecar looks for it, and Node may read it', () => {
    const { ARITMA_CLIENT_SECRET_FILE: file = '', NODE_OPTIONS: options = '' } = environmentOf(unit);
    const [credential = ''] = setting(unit, 'LoadCredential').map((value) => value.split(':')[0]);
    expect(file).toBe(`/run/credentials/%n/${credential}`);
    const readable = [...options.matchAll(/--allow-fs-read=(\S+)/g)].map(([, path]) => path);
    const runtime = `/run/${setting(unit, 'RuntimeDirectory')[0]}`;
    expect(readable).toEqual([
      '/usr/local/bin',
      '/usr/local/lib',
      '/etc/aritma-sidecar',
      '/run/credentials/%n',
      runtime,
    ]);
    expect([...options.matchAll(/--allow-fs-write=(\S+)/g)].map(([, path]) => path)).toEqual([runtime]);
    expect(options).not.toContain('*');
  });

  it('gives the heap three quarters of the memory, and a stop longer than a drain', () => {
    const heap = Number(/--max-old-space-size=(\d+)/.exec(environmentOf(unit)['NODE_OPTIONS'] ?? '')?.[1]);
    const memory = Number(/^(\d+)M$/.exec(setting(unit, 'MemoryMax')[0] ?? '')?.[1]);
    expect(heap / memory).toBe(0.75);
    using folder = createFolder();
    const { drain } = load(folder, {
      yaml: readText('systemd/config.yaml'),
      env: { ARITMA_CLIENT_SECRET: 'x' },
    }).config;
    expect(seconds(unit, 'TimeoutStopSec') * 1000).toBeGreaterThan(drain.minimum + drain.limit);
  });

  it('runs the command there is, is watched, and may not be what the sidecar could do without', () => {
    expect(setting(unit, 'ExecStart')[0]).toMatch(
      /^\/usr\/local\/bin\/aritma-sidecar serve --config \/etc\/aritma-sidecar\//,
    );
    expect([setting(unit, 'Type'), setting(unit, 'NotifyAccess')]).toEqual([['notify'], ['all']]);
    expect(seconds(unit, 'WatchdogSec')).toBeGreaterThan(0);
    expect(setting(unit, 'CapabilityBoundingSet')).toEqual(['']);
    // V8 compiles while it runs.
    expect(setting(unit, 'MemoryDenyWriteExecute')).toEqual([]);
  });
});

it('the template is the unit with an instance in every name', () => {
  const lines = (text: string) => text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const named = readText('systemd/aritma-sidecar@.service')
    .replace('aritma-sidecar/%i.secret', 'aritma-sidecar/client-secret')
    .replace('/%i.yaml', '/config.yaml')
    .replaceAll('-%i', '')
    .replace(' %i', '');
  expect(lines(named)).toEqual(lines(readText('systemd/aritma-sidecar.service')));
});

/** Runs a script with a systemctl that only notes what it is asked. */
function runner(version: number): {
  folder: Folder;
  root: string;
  asked: () => string[];
  run: (...args: string[]) => string;
} {
  const folder = createFolder();
  onTestFinished(() => folder[Symbol.dispose]());
  const root = join(folder.path, 'root');
  for (const name of ['bin', 'root']) mkdirSync(join(folder.path, name));
  const note = `#!/bin/sh\n[ "$1" = --version ] && echo 'systemd ${version} (x)'\necho "$@" >> '${folder.path}/asked'\n`;
  for (const tool of ['systemctl', 'useradd', 'chown']) folder.write(`bin/${tool}`, note, 0o755);
  folder.write('program', '#!/bin/sh\nexit 0\n', 0o755);
  folder.write('secret', 'a-client-secret');
  const env = { PATH: `${folder.path}/bin:/usr/sbin:/usr/bin:/sbin:/bin`, DESTDIR: root };
  const run = (name = '', ...args: string[]) =>
    execFileSync('sh', [join(FOLDER, name), ...args], { env, encoding: 'utf8' });
  const asked = () => readFileSync(join(folder.path, 'asked'), 'utf8').trim().split('\n');
  return { folder, root, asked, run };
}

describe('install.sh and uninstall.sh', () => {
  const installed = (root: string) =>
    readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).replace(root, ''))
      .sort();

  it.each(SCRIPTS)('%s is plain sh', (script) => {
    expect(spawnSync('sh', ['-n', join(FOLDER, script)]).status).toBe(0);
    expect(readText(`systemd/${script}`)).toMatch(/^#!\/bin\/sh\n[\s\S]*^set -eu$/m);
  });

  it.skipIf(!isThere('shellcheck')).each(SCRIPTS)('shellcheck has nothing to say of %s', (script) => {
    expect(spawnSync('shellcheck', ['--shell=sh', join(FOLDER, script)], { encoding: 'utf8' }).stdout).toBe('');
  });

  it('put everything in its place, keep what is there when run again, and take away what they brought', () => {
    const { folder, root, asked, run } = runner(252);
    const given = ['--program', join(folder.path, 'program'), '--secret', join(folder.path, 'secret')];
    run('install.sh', ...given);
    const all = [
      '/etc/aritma-sidecar/client-secret',
      '/etc/aritma-sidecar/config.yaml',
      '/etc/systemd/system/aritma-sidecar.service',
      '/usr/local/bin/aritma-sidecar',
    ];
    expect(installed(root)).toEqual(all);
    expect(statSync(join(root, '/etc/aritma-sidecar/client-secret')).mode & 0o777).toBe(0o400);
    expect(asked().slice(-4)).toEqual([
      'daemon-reload',
      'enable aritma-sidecar.service',
      'restart aritma-sidecar.service',
      '--no-pager status aritma-sidecar.service',
    ]);
    folder.write('root/etc/aritma-sidecar/config.yaml', 'environment: dev\n', 0o644);
    run('install.sh');
    expect(installed(root)).toEqual(all);
    expect(readFileSync(join(root, '/etc/aritma-sidecar/config.yaml'), 'utf8')).toBe('environment: dev\n');
    for (const _ of ['once', 'again']) run('uninstall.sh');
    expect(installed(root)).toEqual(all.slice(0, 2));
    run('uninstall.sh', '--purge');
    expect(installed(root)).toEqual([]);
  });

  it('know several instances', () => {
    const { folder, root, run } = runner(252);
    run('install.sh', '--program', join(folder.path, 'program'), '--no-start', '--instance', 'oslo');
    expect(run('install.sh', '--instance', 'oslo')).toContain('put the client secret into');
    expect(installed(root)).toContain('/etc/systemd/system/aritma-sidecar@.service');
    expect(existsSync(join(root, '/etc/aritma-sidecar/oslo.yaml'))).toBe(true);
    expect(() => run('install.sh', '--instance', '../oslo')).toThrow();
  });

  it('give an old systemd a user that owns the secret', () => {
    const { folder, root, asked, run } = runner(245);
    run('install.sh', '--program', join(folder.path, 'program'), '--secret', join(folder.path, 'secret'));
    const place = '/etc/aritma-sidecar/client-secret';
    const dropIn = readFileSync(join(root, '/etc/systemd/system/aritma-sidecar.service.d/before-247.conf'), 'utf8');
    expect(environmentOf(dropIn)['ARITMA_CLIENT_SECRET_FILE']).toBe(place);
    expect(asked()).toContain(`aritma-sidecar ${root}${place}`);
    expect(asked().join()).toMatch(/--system --no-create-home/);
  });
});
