/** A real redis-server in a folder of its own, for tests that freeze, kill or refill it. */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { describe } from 'vitest';
import { createFolder } from './folder.ts';
import { freePort } from './free-port.ts';

/** Skips by name when redis-server is missing; on CI it must be there. */
export const describeWithRedis = describe.skipIf(
  !process.env['CI'] && ['redis-server', 'redis-cli'].some((name) => spawnSync(name, ['--version']).status !== 0),
);

export interface RedisServer extends AsyncDisposable {
  readonly port: number;
  /** Runs one command of redis-cli as its default user; resolves with what it prints. */
  command(...words: readonly string[]): Promise<string>;
  /** SIGSTOP: connections stay open, and nothing responds. */
  freeze(): void;
  wake(): void;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again on its port, empty; resolves when it takes connections. */
  start(): Promise<void>;
}

export interface RedisOptions {
  /** Further options as redis-server takes them, `['--maxmemory', '1mb']`. */
  readonly args?: readonly string[];
  readonly port?: number;
  /** Configuration file: it is a sentinel. */
  readonly sentinel?: string;
  /** Options of redis-cli, for a server that wants TLS or a password. */
  readonly cli?: readonly string[];
}

export async function startRedis({ args = [], port, sentinel, cli = [] }: RedisOptions = {}): Promise<RedisServer> {
  const folder = createFolder();
  const at = port ?? (await freePort());
  let child: ChildProcess | undefined;
  const kill = async () => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  };
  const start = async () => {
    const plain = ['--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder.path];
    const fixed = sentinel === undefined ? plain : [sentinel, '--sentinel', '--bind', '127.0.0.1'];
    const ports = args.includes('--tls-port') ? ['--port', '0'] : ['--port', String(at)];
    const filled = args.map((word) => word.replaceAll('PORT', String(at)));
    child = spawn('redis-server', [...fixed, ...ports, ...filled], { stdio: ['ignore', 'pipe', 'inherit'] });
    await ready(child);
  };
  await start();
  return {
    port: at,
    async command(...words) {
      const { stdout } = await promisify(execFile)('redis-cli', ['-p', String(at), ...cli, ...words], {
        timeout: 20_000,
      });
      return stdout.trim();
    },
    freeze: () => void child?.kill('SIGSTOP'),
    wake: () => void child?.kill('SIGCONT'),
    kill,
    start,
    async [Symbol.asyncDispose]() {
      await kill();
      folder[Symbol.dispose]();
    },
  };
}

async function ready(child: ChildProcess): Promise<void> {
  if (!child.stdout) throw new Error('redis-server has no output');
  const lines: string[] = [];
  const output = createInterface(child.stdout);
  await new Promise<void>((resolve, reject) => {
    output.on('line', (line) => {
      lines.push(line);
      if (/Ready to accept connections|\+monitor master/.test(line)) resolve();
    });
    child.once('exit', () => reject(new Error(`redis-server did not start: ${lines.slice(-5).join('\n')}`)));
  });
}
