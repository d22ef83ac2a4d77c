/** Folders that stand for the base images of the Dockerfile, built from Debian's packages. Needs root, debootstrap and npm. */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, realpathSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';

const MIRROR = 'http://deb.debian.org/debian';
const LIMIT_MS = 180_000;

export interface BaseImages {
  /** Like `node:*-slim`: Debian with a shell, Node and npm. */
  readonly node: string;
  /** Like `distroless/cc`: C libraries and certificates, no programs. */
  readonly runtime: string;
}

/** The machine's own CA certificates, if it has other ones than Debian. */
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';

/** Creates both below `folder`. */
export function createBaseImages(folder: string): BaseImages {
  const [node, runtime] = [join(folder, 'base-node'), join(folder, 'base-runtime')];
  const options = ['--variant=minbase', '--include=libatomic1,ca-certificates'];
  execFileSync('debootstrap', [...options, 'bookworm', node, MIRROR], { timeout: LIMIT_MS, stdio: 'pipe' });
  extractRuntime(node, runtime);
  addNode(node);
  return { node, runtime };
}

/** Only the files of these packages. */
function extractRuntime(debian: string, runtime: string): void {
  const packages = ['base-files', 'libc6', 'libgcc-s1', 'libstdc++6', 'ca-certificates'];
  const options = { encoding: 'utf8', timeout: LIMIT_MS } as const;
  const files = execFileSync('chroot', [debian, 'dpkg', '-L', ...packages], options);
  const kept = files
    .split('\n')
    .filter((path) => path !== '/.' && !/^\/usr\/(?:s?bin|share\/(?:doc|man))\//.test(path));
  mkdirSync(runtime);
  // Debian has one folder under two names, which the file lists of the packages do not show.
  for (const name of ['bin', 'lib', 'lib64', 'sbin']) symlinkSync(`usr/${name}`, join(runtime, name));
  const list = kept.filter((path) => path !== '' && existsSync(join(debian, path))).map((path) => `.${path}`);
  const input = execFileSync('tar', ['-C', debian, '-c', '--no-recursion', '-T', '-'], {
    input: list.map((path) => path.replace(/^\.\/(?=(?:bin|lib|lib64|sbin)(?:\/|$))/, './usr/')).join('\n'),
    maxBuffer: 2 ** 28,
  });
  execFileSync('tar', ['-C', runtime, '-x', '--keep-directory-symlink'], { input });
}

/** The Node that runs this, with the machine's npm. */
function addNode(root: string): void {
  const command = execFileSync('sh', ['-c', 'command -v npm'], { encoding: 'utf8' }).trim();
  const npm = join(dirname(realpathSync(command)), '..');
  const modules = join(root, 'usr/local/lib/node_modules');
  mkdirSync(modules, { recursive: true });
  cpSync(process.execPath, join(root, 'usr/local/bin/node'));
  cpSync(npm, join(modules, 'npm'), { recursive: true });
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(root, 'usr/local/bin/npm'));
  cpSync('/etc/resolv.conf', join(root, 'etc/resolv.conf'), { dereference: true });
  if (existsSync(CERTIFICATES)) cpSync(CERTIFICATES, join(root, CERTIFICATES), { dereference: true });
}
