/** The packages in a Debian of its own: installed, running, upgraded, removed, purged. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hostTarget } from '../../deploy/executable/targets.ts';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { createDebianRoot, type DebianRoot } from '../support/debian-root.ts';
import { buildExecutables } from '../support/executable.ts';
import { createFolder, type Folder } from '../support/folder.ts';
import { buildPackages, createStandIns, debName, isThere, rpmName } from '../support/linux-packages.ts';

const MACHINE = process.arch === 'arm64' ? 'arm64' : 'amd64';
const RPM_MACHINE = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
const FOREIGN = MACHINE === 'amd64' ? 'arm64' : 'amd64';
const CONFIG = 'etc/aritma-sidecar/config.yaml';
const SECRET = 'etc/aritma-sidecar/client-secret';
const installed = process.getuid?.() === 0 && isThere('debootstrap') && isThere('dpkg-deb');

describe.skipIf(!installed)('the package', () => {
  let work: Folder;
  let root: DebianRoot;
  let before: string[];
  beforeAll(async () => {
    work = createFolder();
    root = createDebianRoot(work.path);
    const standIns = createStandIns(join(work.path, 'stand-ins'));
    const out = join(root.path, 'root');
    buildPackages(standIns, out, '--only', 'deb');
    repack(join(out, debName(MACHINE)), join(out, 'changed.deb'), work.path);
    using executables = await buildExecutables(hostTarget());
    buildPackages(executables.folder, out, '--only', 'deb', '--revision', '3', '--fast', hostTarget());
    before = root.state();
  }, 900_000);
  afterAll(() => work?.[Symbol.dispose](), 120_000);

  const install = (name: string) => root.run(`dpkg --force-confold --install /root/${name}`);

  it('is refused on another kind of machine', () => {
    const { code, output } = root.run(`dpkg --install /root/${debName(FOREIGN)}`);
    expect([code, output]).toEqual([1, expect.stringContaining(`(${FOREIGN}) does not match system (${MACHINE})`)]);
  });

  it('is installed by apt with nothing from the network, starts nothing and says what to do next', () => {
    const { code, output } = root.run(`apt-get install --yes /root/${debName(MACHINE)}`);
    expect([code, output]).toEqual([0, expect.stringContaining('systemctl enable --now aritma-sidecar')]);
    expect(output).toContain('installed, not started');
    expect(root.run('dpkg --verify aritma-sidecar; getent passwd aritma-sidecar').output).toMatch(
      /^aritma-sidecar:x:\d+:\d+:[^:]*:[^:]*:\/usr\/sbin\/nologin\n$/,
    );
  });

  it('has a configuration that everybody may read, in a folder that only root may write to, and no secret', () => {
    const { output } = root.run(`cd /etc/aritma-sidecar && stat -c '%n %a %U:%G' . *`);
    expect(output).toBe('. 755 root:root\nconfig.yaml 644 root:root\n');
  });

  it('keeps a configuration that was changed when the package brings another one', () => {
    root.write(CONFIG, configuration('info'));
    root.write(SECRET, DEMO_CLIENT.secrets[0]?.value ?? '', 0o400);
    const { code } = install('changed.deb');
    expect([code, root.read(CONFIG)]).toEqual([0, configuration('info')]);
    expect(root.read(`${CONFIG}.dpkg-dist`)).toContain('# changed');
    rmSync(join(root.path, `${CONFIG}.dpkg-dist`));
  });

  it('is upgraded, then knows its version and does the demo', () => {
    expect(install(debName(MACHINE, 3)).code).toBe(0);
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    expect(root.run('aritma-sidecar --version')).toEqual({ code: 0, output: `${version}\n` });
    const { code, output } = root.run('aritma-sidecar demo --once');
    expect([code, output]).toEqual([0, expect.stringContaining('"data"')]);
    expect(root.read(CONFIG)).toBe(configuration('info'));
  });

  it('serves as the unit says, for the user of the package, and reloads on the signal of the unit', () => {
    root.write('root/serve.sh', serveScript(root.read('usr/lib/systemd/system/aritma-sidecar.service')), 0o755);
    root.write('root/other.yaml', configuration('debug'));
    const { code, output } = root.run('/root/serve.sh');
    root.write(CONFIG, configuration('info'));
    expect([code, output]).toEqual([0, expect.stringContaining('status: 0\nreloaded\nstopped: 0\n')]);
  }, 120_000);

  it('restarts what runs after an upgrade, unless the machine forbids it, and stops all when it is removed', () => {
    const calls = root.pretendSystemd(252);
    const units = 'aritma-sidecar.service aritma-sidecar@*.service';
    expect(install(debName(MACHINE)).code).toBe(0);
    expect(calls()).toEqual(['daemon-reload', `try-restart ${units}`, 'is-active --quiet aritma-sidecar.service']);

    root.write('usr/sbin/policy-rc.d', '#!/bin/sh\nexit 101\n', 0o755);
    const forbidden = root.pretendSystemd(252);
    expect(install('changed.deb').code).toBe(0);
    expect(forbidden()).toEqual(['daemon-reload', 'is-active --quiet aritma-sidecar.service']);
    rmSync(join(root.path, 'usr/sbin/policy-rc.d'));

    const removed = root.pretendSystemd(252);
    expect(root.run('dpkg --remove aritma-sidecar').code).toBe(0);
    expect(removed()).toEqual([`stop ${units}`, 'daemon-reload']);
  });

  it('leaves configuration, secret and user when it is removed, and takes them up again', () => {
    expect([root.has('usr/bin/aritma-sidecar'), root.read(CONFIG), root.has(SECRET)]).toEqual([
      false,
      configuration('info'),
      true,
    ]);
    expect(root.run('getent passwd aritma-sidecar').code).toBe(0);
    expect(install(debName(MACHINE)).code).toBe(0);
    expect([root.has('usr/bin/aritma-sidecar'), root.read(CONFIG)]).toEqual([true, configuration('info')]);
  });

  it('gives the service a fixed user with the secret where systemd has no credentials', () => {
    const calls = root.pretendSystemd(239);
    const { code, output } = install(debName(MACHINE));
    expect([code, output]).toEqual([0, expect.stringContaining('systemd 239 has no credentials')]);
    expect(root.read('etc/systemd/system/aritma-sidecar.service.d/before-247.conf')).toContain('User=aritma-sidecar');
    expect(calls()[0]).toBe('daemon-reload');
  });

  it('leaves nothing at all when it is purged', () => {
    mkdirSync(join(root.path, 'var/lib/aritma-sidecar'));
    root.write('var/lib/aritma-sidecar/client-secret', 'rotated');
    const links = join(root.path, 'etc/systemd/system/multi-user.target.wants');
    mkdirSync(links, { recursive: true });
    root.run('ln -s /usr/lib/systemd/system/aritma-sidecar.service /etc/systemd/system/multi-user.target.wants/');
    expect(root.run('dpkg --purge aritma-sidecar').code).toBe(0);
    rmSync(join(root.path, 'usr/local/bin/systemctl'));
    root.run('rmdir -p /etc/systemd/system/multi-user.target.wants');
    expect(difference(before, root.state())).toEqual([]);
  });

  it.skipIf(!isThere('rpmbuild'))(
    'is installed as .rpm, upgraded with its configuration kept, and removed',
    () => {
      const out = join(root.path, 'root');
      for (const revision of ['1', '2']) {
        buildPackages(join(work.path, 'stand-ins'), out, '--only', 'rpm', '--revision', revision, hostTarget());
      }
      const rpm = (...args: readonly string[]) =>
        spawnSync('rpm', ['--root', root.path, '--nodeps', ...args], { cwd: out, encoding: 'utf8' });
      const first = rpm('--install', rpmName(RPM_MACHINE));
      expect([first.status, first.stderr]).toEqual([0, expect.stringContaining('installed, not started')]);
      expect(root.run('getent passwd aritma-sidecar; /usr/bin/aritma-sidecar').code).toBe(0);
      root.write(CONFIG, '# mine\n');
      const second = rpm('--upgrade', rpmName(RPM_MACHINE, 2));
      expect([second.status, root.read(CONFIG)]).toEqual([0, '# mine\n']);
      const removal = rpm('--erase', 'aritma-sidecar');
      expect([removal.status, removal.stderr]).toEqual([0, expect.stringContaining('stay in /etc/aritma-sidecar')]);
      expect(root.read(`${CONFIG}.rpmsave`)).toBe('# mine\n');
      expect(root.has('usr/bin/aritma-sidecar')).toBe(false);
    },
    300_000,
  );
});

/** The same package with another first configuration, as a later version might have, and revision 2. */
function repack(deb: string, out: string, folder: string): void {
  const unpacked = join(folder, 'unpacked');
  execFileSync('dpkg-deb', ['--raw-extract', deb, unpacked]);
  const edit = (path: string, change: (text: string) => string) =>
    writeFileSync(join(unpacked, path), change(readFileSync(join(unpacked, path), 'utf8')));
  edit('DEBIAN/control', (text) => text.replace(/^(Version: .*-)1$/m, '$12'));
  edit(CONFIG, (text) => `${text}# changed\n`);
  execFileSync('dpkg-deb', ['--root-owner-group', '--build', unpacked, out]);
}

function configuration(level: string): string {
  return `environment: emulator
log: { level: ${level} }
credentials: { default: { clientId: ${DEMO_CLIENT.clientId} } }
routes: [{ path: /banking, upstream: "http://127.0.0.1:7100/banking" }]
`;
}

/** Starts what the unit starts with what it sets, hands the secret over as systemd does, reloads, stops. */
function serveScript(unit: string): string {
  const value = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1] ?? '';
  const settings = [...unit.matchAll(/^Environment=("?)(.*)\1$/gm)]
    .map(([, , setting = '']) => `'${setting}'`)
    .join(' ');
  const script = `set -eu
folder=/run/credentials/aritma-sidecar.service
mkdir -p $folder /run/aritma-sidecar
install -o aritma-sidecar -m 0400 /etc/aritma-sidecar/client-secret $folder/client-secret
chown aritma-sidecar /run/aritma-sidecar
aritma-sidecar emulate >/dev/null 2>&1 &
setpriv --reuid=aritma-sidecar --regid=aritma-sidecar --clear-groups --no-new-privs \\
  env -i PATH=/usr/bin:/bin ${settings} ${value('ExecStart')} > /run/serve.log 2>&1 &
export MAINPID=$!
aritma-sidecar wait --max 60s || { cat /run/serve.log; exit 1; }
aritma-sidecar status >/dev/null && echo "status: $?"
cat /root/other.yaml > /etc/aritma-sidecar/config.yaml
${value('ExecReload')}
for i in $(seq 300); do grep -q 'configuration reloaded' /run/serve.log && break; sleep 0.1; done
grep -q 'configuration reloaded' /run/serve.log && echo reloaded || cat /run/serve.log
kill -TERM $MAINPID; code=0; wait $MAINPID || code=$?; echo "stopped: $code"
`;
  return `#!/bin/sh\n${script.replaceAll('%n', 'aritma-sidecar.service')}`;
}

function difference(one: readonly string[], other: readonly string[]): string[] {
  return [...one.filter((line) => !other.includes(line)), ...other.filter((line) => !one.includes(line))];
}
