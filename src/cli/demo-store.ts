/**
 * A Valkey or Redis server of the demo's own, from the program that is installed: on a free port, with a password that only
 * this process knows, and in memory. Hides which of the two it is, and that it ends with the demo however that ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface DemoStore {
  readonly program: string;
  readonly port: number;
  readonly password: string;
  stop(): Promise<void>;
}

const PROGRAMS = ['valkey-server', 'redis-server'] as const;
const READY_MS = 10_000;
const END_MS = 2000;
/** Another program may take the port before the server does. */
const TRIES = 3;

/** Returns undefined where neither program is installed. @throws Error when the program ends at once */
export async function startDemoStore(): Promise<DemoStore | undefined> {
  for (const program of PROGRAMS) {
    for (let tries = 1; ; tries += 1) {
      const started = await tryProgram(program).catch((error: Error) => error);
      if (started === undefined) break;
      if (!(started instanceof Error)) return started;
      if (tries === TRIES) throw started;
    }
  }
  return undefined;
}

async function tryProgram(program: string): Promise<DemoStore | undefined> {
  const folder = mkdtempSync(join(tmpdir(), 'aritma-sidecar-demo-'));
  const [port, password] = [await freePort(), randomBytes(24).toString('base64url')];
  // A process group of its own: Ctrl-C in a terminal must not end the store before the sidecars.
  const child = spawn(program, ['-'], { cwd: folder, detached: true, stdio: ['pipe', 'pipe', 'ignore'] });
  const leave = () => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  process.once('exit', leave);
  const stop = async () => {
    await end(child);
    process.off('exit', leave);
    leave();
  };
  try {
    if (await isReady(child, settings({ port, password, folder }))) return { program, port, password, stop };
  } catch (error) {
    await stop();
    throw error;
  }
  await stop();
  return undefined;
}

/** Read from standard input: the password stands neither in a file nor among the arguments. */
function settings({ port, password, folder }: { port: number; password: string; folder: string }): string {
  const lines = [
    ...['bind 127.0.0.1', `port ${port}`, `requirepass ${password}`, `dir ${JSON.stringify(folder)}`],
    ...['save ""', 'appendonly no', 'maxmemory 32mb', 'daemonize no', 'logfile ""', 'loglevel notice'],
  ];
  return `${lines.join('\n')}\n`;
}

/** @returns false when there is no such program, or none that this user may run */
async function isReady(child: ChildProcess, config: string): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const late = setTimeout(() => reject(new Error('the store is not ready in time')), READY_MS);
  let output = '';
  // EACCES also where a folder of the PATH is closed to this user and no other one has the program.
  const isMissing = ({ code = '' }: NodeJS.ErrnoException) => ['ENOENT', 'EACCES'].includes(code);
  child.once('error', (error) => (isMissing(error) ? resolve(false) : reject(error)));
  child.once('exit', () => reject(new Error('the store has ended at once')));
  child.stdin?.on('error', () => undefined).end(config);
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output = `${output}${text}`.slice(-10_000);
    if (/ready to accept connections/i.test(output)) resolve(true);
  });
  return promise.finally(() => clearTimeout(late));
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), END_MS);
  await ended;
  clearTimeout(late);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address ? address.port : 0;
}
