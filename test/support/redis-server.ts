/** A Redis server of the machine on a port of its own, that keeps nothing on the disk, with what can happen to a store. */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from './free-port.ts';
import { until } from './until.ts';

export interface RedisServer extends AsyncDisposable {
  readonly port: number;
  /** Of the process that runs now. */
  readonly pid: number;
  /** Runs a command with redis-cli and returns what it prints. */
  ask(...command: readonly string[]): Promise<string>;
  /** Resolves when the process is gone, by SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again at the same port; what it had in memory is lost. */
  restart(): Promise<void>;
  /** Takes connections, but does not respond, until `thaw`. */
  freeze(): void;
  thaw(): void;
}

export interface RedisOptions {
  /** Further arguments of the program. */
  readonly args?: readonly string[];
  /** Certificate of the server, and the CA for it; then it speaks only TLS. */
  readonly tls?: RedisTls | undefined;
  /** Further arguments of redis-cli for all commands. */
  readonly cli?: readonly string[];
  /** A configuration file, which the server may rewrite; absent = the defaults. */
  readonly configFile?: string;
  /** Lines of the configuration of a sentinel, which this then is. */
  readonly sentinel?: readonly string[];
}

export interface RedisTls {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
  /** Whether clients need a certificate of the CA; redis-cli shows the server's own. */
  readonly wantsClient?: boolean;
}

/** What redis-cli may take. */
const ASK_MS = 10_000;

/** The programs that are not installed. */
export function missingRedis(): readonly string[] {
  return ['redis-server', 'redis-cli'].filter((program) => spawnSync(program, ['--version']).status !== 0);
}

/** The arguments of a server that keeps nothing. */
export function redisArgs(port: number, tls?: RedisTls): readonly string[] {
  const listen = tls ? ['--port', '0', '--tls-port', String(port), ...tlsArgs(tls)] : ['--port', String(port)];
  const rest = ['--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--tcp-backlog', '4096'];
  return [...listen, ...rest];
}

/** Runs one command with redis-cli. @throws Error when there is no response in time */
export async function askRedis(port: number, command: readonly string[], tls?: RedisTls): Promise<string> {
  const secure = tls ? ['--tls', '--cacert', tls.caFile, '--cert', tls.certFile, '--key', tls.keyFile] : [];
  const args = ['-h', '127.0.0.1', '-p', String(port), ...secure, ...command];
  const { stdout } = await promisify(execFile)('redis-cli', args, { timeout: ASK_MS });
  return stdout.trimEnd();
}

/** Resolves when it responds. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const { args = [], tls, cli = [], configFile, sentinel } = options;
  const folder = mkdtempSync(join(tmpdir(), 'aritma-redis-'));
  const port = await freePort();
  const ask = (...command: readonly string[]) => askRedis(port, [...cli, ...command], tls);
  const whole = sentinel
    ? [writeSentinel(folder, [...redisArgs(port, tls)], sentinel), '--sentinel']
    : [...(configFile === undefined ? [] : [configFile]), ...redisArgs(port, tls), ...args];
  let child: ChildProcess | undefined;
  const kill = async () => {
    if (!child || isGone(child)) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  };
  const restart = async () => {
    await kill();
    const started = spawn('redis-server', whole, { cwd: folder, stdio: 'ignore' });
    child = started;
    await until('redis-server responds', async () => {
      if (isGone(started)) throw new Error(`redis-server ${whole.join(' ')} has ended`);
      return (await ask('PING').catch(() => '')) === 'PONG';
    });
  };
  await restart();
  return {
    port,
    get pid() {
      return child?.pid ?? 0;
    },
    ...{ ask, kill, restart },
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    async [Symbol.asyncDispose]() {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A sentinel notes in its file what it has found out. */
function writeSentinel(folder: string, args: readonly string[], lines: readonly string[]): string {
  const file = join(folder, 'sentinel.conf');
  const own = args
    .join(' ')
    .replaceAll(/(^| )--(?=[a-z])/g, '\n')
    .split('\n');
  const listen = own.filter((line) => /^(port|bind|tls-)/.test(line));
  writeFileSync(file, `${[...listen, ...lines].join('\n')}\n`);
  return file;
}

function isGone({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

function tlsArgs({ certFile, keyFile, caFile, wantsClient = false }: RedisTls): readonly string[] {
  const files = ['--tls-cert-file', certFile, '--tls-key-file', keyFile, '--tls-ca-cert-file', caFile];
  return [
    ...files,
    '--tls-auth-clients',
    wantsClient ? 'yes' : 'no',
    '--tls-replication',
    'yes',
    '--tls-cluster',
    'yes',
  ];
}
