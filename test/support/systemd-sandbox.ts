/** A sidecar in the environment of its systemd unit, built with `unshare` and test/system/sandbox.py. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { createFolder, type Folder } from './folder.ts';
import { until } from './until.ts';

const ROOT = join(import.meta.dirname, '../..');
/** Debian's own Python: its packages are for this one. */
const PYTHON = '/usr/bin/python3';
const SCRIPT = join(ROOT, 'test/system/sandbox.py');
const RECEIVER = `
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
while True:
    print(s.recv(4096).decode().replace("\\n", " "), flush=True)
`;

export const canSandbox =
  process.getuid?.() === 0 &&
  spawnSync(PYTHON, ['-c', 'import seccomp']).status === 0 &&
  spawnSync('systemd-analyze', ['--version']).status === 0;

export interface Sandbox extends AsyncDisposable {
  readonly pid: number;
  readonly url: string;
  readonly adminUrl: string;
  /** The folder that is mounted as /var/lib/aritma-sidecar. */
  readonly state: string;
  /** All log lines so far. */
  output(): string;
  /** The messages that systemd would have received. */
  heard(): readonly string[];
  kill(signal: NodeJS.Signals): void;
  /** Its exit code. */
  readonly ended: Promise<number | null>;
}

/** The npm package, in its own folder: dist/ may be old, or another test may be building it. */
export function compileInto(folder: Folder): string {
  const compiled = join(folder.path, 'dist');
  execFileSync(process.execPath, [join(ROOT, 'deploy/package/build.ts'), compiled], { stdio: 'inherit' });
  return compiled;
}

export interface SandboxOptions {
  /** Path of the compiled program. */
  readonly compiled: string;
  /** The unit, and drop-ins after it. */
  readonly unit: string;
  readonly config: object;
  readonly credentials: Readonly<Record<string, string>>;
}

const SERVE = ['node', '/usr/local/bin/aritma-sidecar', 'serve', '--config', '/etc/aritma-sidecar/config.yaml'];

interface Launched extends Pick<Sandbox, 'state' | 'output' | 'heard' | 'ended'>, AsyncDisposable {
  readonly child: ChildProcess;
}

/** The output of a program in the sandbox, to its end. */
export async function runSandboxed(options: SandboxOptions, command: readonly string[]): Promise<string> {
  await using launched = launch(options, command);
  await launched.ended;
  return launched.output();
}

/** Resolves when the process has reported to systemd that it is ready. */
export async function startSandboxed(options: SandboxOptions): Promise<Sandbox> {
  const launched = launch(options, SERVE);
  const { child, output, heard } = launched;
  const address = (who: string) =>
    new RegExp(`"address":"(http[^"]+)","message":"listening for ${who}"`).exec(output())?.[1];
  try {
    const isOver = () => child.exitCode !== null || child.signalCode !== null;
    await until(
      'systemd hears READY',
      () => isOver() || (/READY=1/.test(heard().join()) && address('callers') !== undefined),
      15_000,
    );
    if (isOver()) throw new Error('it has ended');
  } catch (error) {
    await launched[Symbol.asyncDispose]();
    throw new Error(`${(error as Error).message}\n${output()}`);
  }
  return {
    ...launched,
    pid: child.pid ?? 0,
    url: address('callers') ?? '',
    adminUrl: address('operators') ?? '',
    kill: (signal) => void child.kill(signal),
  };
}

function launch({ compiled, unit, config, credentials }: SandboxOptions, command: readonly string[]): Launched {
  const folder = createFolder();
  const children: ChildProcess[] = [];
  const [given, state, notify] = ['given', 'state', 'notify'].map((name) => join(folder.path, name)) as Paths;
  for (const path of [given, state, notify, join(given, 'credentials')]) mkdirSync(path, { mode: 0o755 });
  folder.write('unit', unit);
  folder.write('given/config.yaml', JSON.stringify(config), 0o644);
  for (const [name, value] of Object.entries(credentials)) folder.write(`given/credentials/${name}`, value);
  const heard = collect(children, spawn(PYTHON, ['-c', RECEIVER, join(notify, 'socket')]));
  const node = realpathSync(process.execPath);
  const script = [SCRIPT, join(folder.path, 'unit'), compiled, node, given, state, notify, ...command];
  const child = spawn('unshare', ['--mount', '--ipc', '--uts', PYTHON, ...script], {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', WATCHDOG_USEC: '900000' },
  });
  const output = collect(children, child);
  const ended = once(child, 'exit').then(([code]) => code as number | null);
  const stop = async () => {
    for (const one of children) if (one.exitCode === null && one.signalCode === null) one.kill('SIGKILL');
    await ended;
    folder[Symbol.dispose]();
  };
  return {
    child,
    state,
    output,
    heard: () => heard().split('\n').filter(Boolean),
    ended,
    [Symbol.asyncDispose]: stop,
  };
}

type Paths = [given: string, state: string, notify: string];

function collect(children: ChildProcess[], child: ChildProcess): () => string {
  children.push(child);
  let text = '';
  const add = (part: string) => {
    text += part;
  };
  child.stdout?.setEncoding('utf8').on('data', add);
  child.stderr?.setEncoding('utf8').on('data', add);
  return () => text;
}
