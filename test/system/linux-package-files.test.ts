/** What can be said of the packages without a machine for each: their bytes, fields, scripts, man pages and units. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFolder, type Folder } from '../support/folder.ts';
import { buildPackages, createStandIns, debName, isThere, rpmName } from '../support/linux-packages.ts';

const canBuild = process.platform === 'linux' && isThere('dpkg-deb') && isThere('rpmbuild');
const [AMD64, X86_64] = [debName('amd64'), rpmName('x86_64')];
/** Lintian is large, so CI does without; whoever changes the packages should have it. */
const hasLintian = !spawnSync('lintian', ['--version']).error;

describe.skipIf(!canBuild)('the Linux packages', () => {
  let work: Folder;
  let out: string;
  let unpacked: string;
  let standIns: string;
  beforeAll(() => {
    work = createFolder();
    standIns = createStandIns(join(work.path, 'stand-ins'));
    out = join(work.path, 'out');
    buildPackages(standIns, out);
    unpacked = join(work.path, 'unpacked');
    execFileSync('dpkg-deb', ['--raw-extract', join(out, AMD64), unpacked]);
  }, 300_000);
  afterAll(() => work?.[Symbol.dispose]());

  const rpm = (...args: readonly string[]) =>
    execFileSync('rpm', ['--dbpath', join(work.path, 'db'), ...args], { encoding: 'utf8', cwd: out, stdio: 'pipe' });

  it('are the same, byte for byte, when somebody with another umask builds them later', () => {
    const again = join(work.path, 'again');
    const umask = process.umask(0o077);
    buildPackages(standIns, again);
    process.umask(umask);
    const sums = readFileSync(join(out, 'SHA256SUMS'), 'utf8');
    expect(readFileSync(join(again, 'SHA256SUMS'), 'utf8')).toBe(sums);
    expect(
      sums
        .trim()
        .split('\n')
        .map((line) => line.split('  ')[1]),
    ).toEqual([...[AMD64, X86_64], ...[debName('arm64'), rpmName('aarch64')]]);
    expect(spawnSync('sha256sum', ['--check', '--quiet', 'SHA256SUMS'], { cwd: out }).status).toBe(0);
  }, 300_000);

  it('are not built by a wrong command, which is told what to do', () => {
    const build =
      (...flags: readonly string[]) =>
      () =>
        buildPackages(standIns, out, ...flags);
    expect(build('linux-mips')).toThrow('no target linux-mips; there are linux-x64, linux-arm64');
    expect(build('--only', 'apk')).toThrow('--only apk: deb or rpm');
    expect(build('--revision', '0')).toThrow('--revision 0: 1, 2, …');
  });

  it('names the tool that is missing and where to get it', () => {
    const args = [join(import.meta.dirname, '../../deploy/linux-packages/build.ts'), '--executables', standIns];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env: { PATH: '/nowhere' } });
    expect([status, stderr]).toEqual([2, expect.stringMatching(/^dpkg-deb is missing: apt install /)]);
  });

  it('have the same files in both families, but for documents and the completions of zsh', () => {
    const own = (path: string) => !/^\/usr\/share\/(doc|licenses|lintian|zsh)\//.test(path);
    const files = rpm('-qlp', X86_64).trim().split('\n');
    const inDeb = execFileSync('find', ['.', '-type', 'f', '-printf', '/%P\n'], { cwd: unpacked, encoding: 'utf8' });
    const debs = inDeb
      .trim()
      .split('\n')
      .filter((path) => own(path) && !path.startsWith('/DEBIAN/'));
    expect(files.filter((path) => own(path) && !/^\/(etc|usr\/share)\/aritma-sidecar$/.test(path)).sort()).toEqual(
      debs.sort(),
    );
    expect(files).toContain('/usr/share/zsh/site-functions/_aritma-sidecar');
    expect(files).toContain('/usr/share/licenses/aritma-sidecar/LICENSE');
  });

  it('say which libraries the program wants, and that the configuration is the administrator’s', () => {
    expect(readFileSync(join(unpacked, 'DEBIAN/control'), 'utf8')).toMatch(/^Depends: libc6 \(>= 2\.\d+\)$/m);
    expect(readFileSync(join(unpacked, 'DEBIAN/conffiles'), 'utf8')).toBe('/etc/aritma-sidecar/config.yaml\n');
    expect(rpm('-qp', '--requires', X86_64)).toMatch(/^libc\.so\.6\(GLIBC_2\.\d+\)\(64bit\)$/m);
    expect(rpm('-qcp', X86_64)).toBe('/etc/aritma-sidecar/config.yaml\n');
    expect(rpm('-K', X86_64)).toContain('digests OK');
  });

  describe.each(['deb', 'rpm'])('scripts of the .%s', (family) => {
    const scripts = () =>
      family === 'deb'
        ? ['postinst', 'prerm', 'postrm'].map((name) => readFileSync(join(unpacked, 'DEBIAN', name), 'utf8'))
        : ['PREIN', 'POSTIN', 'PREUN', 'POSTUN'].map((tag) => rpm('-qp', '--qf', `%{${tag}}\n`, X86_64));

    it('are what a POSIX shell understands', () => {
      for (const input of scripts()) {
        expect(input).toContain('set -eu');
        expect(spawnSync('sh', ['-n'], { input, encoding: 'utf8' })).toMatchObject({ status: 0, stderr: '' });
      }
    });

    it.skipIf(!isThere('shellcheck'))('are approved of by shellcheck', () => {
      for (const input of scripts()) {
        expect(spawnSync('shellcheck', ['-s', 'sh', '-'], { input, encoding: 'utf8' }).stdout).toBe('');
      }
    });
  });

  it.skipIf(!isThere('systemd-analyze')).each(['aritma-sidecar.service', 'aritma-sidecar@.service'])(
    'have %s as systemd understands it, with everything in the place of the package',
    (name) => {
      const unit = readFileSync(join(unpacked, 'usr/lib/systemd/system', name), 'utf8');
      expect(unit).not.toContain('/usr/local');
      expect(unit).toContain('ExecStart=/usr/bin/aritma-sidecar serve --config /etc/aritma-sidecar/');
      const file = work.write(name.replace('@', '@oslo'), unit.replace('=/usr/bin/aritma-sidecar ', '=/bin/true '));
      const { stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', file], { encoding: 'utf8' });
      const mine = stderr.split('\n').filter((line) => line.includes(work.path));
      // Of systemd 260; an older one says that it skips it.
      expect(mine.filter((line) => !/Unknown key (name )?'RefreshOnReload'/.test(line))).toEqual([]);
    },
  );

  it.skipIf(!isThere('mandoc')).each(['man1/aritma-sidecar.1', 'man5/aritma-sidecar.yaml.5'])(
    'have a man page %s that mandoc approves of, with version and date',
    (name) => {
      const zipped = readFileSync(join(unpacked, `usr/share/man/${name}.gz`));
      // Neither name nor time in its head, so the same page gives the same bytes.
      expect([zipped[3], zipped.readUInt32LE(4)]).toEqual([0, 0]);
      const input = gunzipSync(zipped).toString();
      expect(input).toMatch(/^\.TH \S+ [15] "2026-01-01" "aritma\\-sidecar \d+\.\d+\.\d+\S*" "/m);
      expect(spawnSync('mandoc', ['-Tlint', '-Wwarning'], { input, encoding: 'utf8' })).toMatchObject({
        status: 0,
        stdout: '',
        stderr: '',
      });
    },
  );

  it.skipIf(!hasLintian)(
    'have nothing that Debian’s lintian objects to, but for the address of no maintainer',
    () => {
      const { stdout } = spawnSync('lintian', ['--tag-display-limit', '0', AMD64], { cwd: out, encoding: 'utf8' });
      // The release gives the address; overrides are in the package, with reasons.
      expect(stdout.split('\n').filter((line) => line !== '' && !/bogus-mail-host|root-in-contact/.test(line))).toEqual(
        [],
      );
    },
    300_000,
  );
});
