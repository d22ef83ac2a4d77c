/**
 * Runs a built image as a container engine does: own mounts, processes and network, read-only root, no privileges, the
 * program as process 1. Needs root.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { BuiltImage } from './dockerfile-build.ts';
import { until } from './until.ts';

export interface ContainerOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Folders of this machine that the program may read, by their path in the container. */
  readonly mounts?: Readonly<Record<string, string>>;
  /** The only places that it may write to; in memory. */
  readonly writable?: readonly string[];
}

export interface Container extends AsyncDisposable {
  output(): string;
  readonly ended: Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>;
  /** Process id of the program on this machine. */
  pid(): Promise<number>;
  /** The root folder that the program sees. */
  root(): Promise<string>;
  /** Runs a command of the image beside the program; returns its exit code. */
  exec(command: readonly string[]): Promise<number | null>;
  /** Starts the image's program a second time, in the program's network only. */
  beside(args: readonly string[]): Promise<ChildProcess>;
}

const LIMIT_MS = 60_000;

export function startContainer(image: BuiltImage, options: ContainerOptions = {}): Container {
  const { args = image.command, mounts = {}, writable = [] } = options;
  const env = Object.entries({ PATH: '/usr/local/bin', ...image.env, ...options.env }).map((pair) => pair.join('='));
  const [user = '', group = user] = image.user.split(':');
  const identity = [`--setgid=${group}`, `--setuid=${user}`];
  for (const path of [...Object.keys(mounts), ...writable]) mkdirSync(join(image.root, path), { recursive: true });
  const script = [
    'set -e',
    'ip link set lo up',
    `mount --bind ${image.root} ${image.root}`,
    `mount --rbind /dev ${image.root}/dev`,
    ...Object.entries(mounts).map(([path, from]) => `mount --bind -o ro ${from} ${image.root}${path}`),
    ...writable.map((path) => `mount -t tmpfs -o mode=0700,uid=${user},gid=${group} none ${image.root}${path}`),
    `mount -t proc none ${image.root}/proc`,
    `mount -o remount,bind,ro ${image.root}`,
    'exec "$@"',
  ].join('\n');
  const enter = [
    '/usr/bin/setpriv',
    '--no-new-privs',
    '/usr/bin/unshare',
    `--root=${image.root}`,
    `--wd=${image.workdir}`,
    ...identity,
  ];
  const program = ['/usr/bin/env', '-i', ...env, ...enter, ...image.entrypoint, ...args];
  const namespaces = ['--mount', '--net', '--pid', '--fork', '--kill-child'];
  const child = spawn('unshare', [...namespaces, 'sh', '-c', script, 'sh', ...program], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  }
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.once('close', (code) => resolve({ code, ...output }));
  });
  const pid = async () => {
    let found = 0;
    await until('the program runs', () => {
      found = childOf(child.pid ?? 0) ?? 0;
      // Found by its file: Node renames its main thread, and so the process.
      return found !== 0 && readlinkSync(`/proc/${found}/exe`).endsWith(image.entrypoint[0] ?? '');
    });
    return found;
  };
  return {
    output: () => output.stdout,
    ended,
    pid,
    root: async () => `/proc/${await pid()}/root`,
    async exec(command) {
      const found = await pid();
      const into = ['/usr/bin/nsenter', `--target=${found}`, '--mount', '--net', '--pid', '--root'];
      const where = `--wd=/proc/${found}/root${image.workdir}`;
      return spawnSync('/usr/bin/env', ['-i', ...env, ...into, where, ...identity, ...command], { timeout: LIMIT_MS })
        .status;
    },
    async beside(more) {
      const [program = ''] = image.entrypoint;
      const into = ['/usr/bin/nsenter', '-t', String(await pid()), '-n', join(image.root, program)];
      return spawn('/usr/bin/env', ['-i', ...into, ...more], { stdio: 'ignore', timeout: LIMIT_MS });
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) {
        // Kills the program itself: its change of user has undone that it dies with its parent.
        const program = childOf(child.pid ?? 0);
        if (program !== undefined) process.kill(program, 'SIGKILL');
        child.kill('SIGKILL');
      }
      await ended;
    },
  };
}

/** Undefined while there is none. */
function childOf(parent: number): number | undefined {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids
    .map(Number)
    .find((pid) => fileOrNothing(`/proc/${pid}/stat`).split(') ')[1]?.split(' ')[1] === `${parent}`);
}

/** Nothing when the process has ended meanwhile. */
function fileOrNothing(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
