/** A Debian of its own below a folder, in which packages are installed: no systemd runs in it. Needs root and debootstrap. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const MIRROR = 'http://deb.debian.org/debian';
const BOOTSTRAP_MS = 600_000;
const LIMIT_MS = 120_000;

export interface DebianRoot {
  readonly path: string;
  /** Runs a shell command in the root, with processes, mounts and a network of its own; standard output and error in one. */
  run(command: string): { readonly code: number | null; readonly output: string };
  read(path: string): string;
  write(path: string, content: string, mode?: number): void;
  has(path: string): boolean;
  /** Every file, with its kind, mode, owner and size, and the users; without what package managers remember and log. */
  state(): string[];
  /** Makes scripts believe that systemd runs; returns what they asked of it so far. @param version of systemd */
  pretendSystemd(version: number): () => string[];
}

/** What every installation leaves: the memory of dpkg and apt, caches, and the last edition of the lists of users. */
const REMEMBERED =
  /^\.\/(var\/lib\/(dpkg|apt|rpm|systemd)|var\/(log|cache)|usr\/lib\/sysimage|tmp|run|proc|root)(\/|\t)|^\.\/etc\/(\.pwd\.lock|(passwd|group|shadow|gshadow|subuid|subgid)-?)\t/;

export function createDebianRoot(folder: string): DebianRoot {
  const path = join(folder, 'debian');
  const options = ['--variant=minbase', '--include=libatomic1,libstdc++6', 'bookworm', path, MIRROR];
  execFileSync('debootstrap', options, { timeout: BOOTSTRAP_MS, stdio: 'pipe' });
  return openDebianRoot(path);
}

function openDebianRoot(path: string): DebianRoot {
  const read = (name: string) => readFileSync(join(path, name), 'utf8');
  const write = (name: string, content: string, mode = 0o644) => {
    writeFileSync(join(path, name), content);
    chmodSync(join(path, name), mode);
  };
  return {
    path,
    read,
    write,
    has: (name) => existsSync(join(path, name)),
    run(command) {
      const enter = `ip link set lo up; mount -t proc none ${path}/proc; exec chroot ${path} sh -c "$1" 2>&1`;
      const namespaces = ['--mount', '--net', '--pid', '--fork', '--kill-child'];
      const { status, stdout } = spawnSync('unshare', [...namespaces, 'sh', '-c', enter, 'sh', command], {
        encoding: 'utf8',
        env: { PATH: '/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', DEBIAN_FRONTEND: 'noninteractive' },
        timeout: LIMIT_MS,
        killSignal: 'SIGKILL',
      });
      return { code: status, output: stdout };
    },
    state() {
      const format = '%p\t%y %m %u %g %l\n';
      const files = execFileSync('find', ['.', '-printf', format], { cwd: path, encoding: 'utf8', maxBuffer: 2 ** 26 });
      const kept = files.split('\n').filter((line) => line !== '' && !REMEMBERED.test(line));
      const users = ['passwd', 'group', 'shadow', 'gshadow'].map((name) => read(`etc/${name}`));
      return [...kept.sort(), ...users];
    },
    pretendSystemd(version) {
      const calls = join(path, 'run/systemctl-calls');
      mkdirSync(join(path, 'run/systemd/system'), { recursive: true });
      rmSync(calls, { force: true });
      write(
        'usr/local/bin/systemctl',
        `#!/bin/sh\nif [ "$1" = --version ]; then echo "systemd ${version} (${version})"; else echo "$*" >> /run/systemctl-calls; fi\n`,
        0o755,
      );
      return () => (existsSync(calls) ? readFileSync(calls, 'utf8').trim().split('\n') : []);
    },
  };
}
