/** A sidecar in its own process, with what is visible from outside: memory, sockets, metrics, its exit. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MAIN } from './cli.ts';
import { COMPILED } from './compiled.ts';
import { until } from './until.ts';

export interface SidecarProcess extends AsyncDisposable {
  readonly port: number;
  readonly adminUrl: string;
  readonly pid: number;
  isAlive(): boolean;
  /** Value of a metric without labels. */
  metric(name: string): Promise<number>;
  /** Open sockets of the process, including listeners. */
  sockets(): number;
  /** Sends the signal to stop. */
  stop(): Promise<{ readonly code: number | null; readonly stderr: string }>;
}

export interface SidecarProcessOptions {
  readonly upstream: string;
  readonly tokenEndpoint: string;
  /** Options of the one route, `/api`. */
  readonly route?: Readonly<Record<string, unknown>>;
  readonly config?: Readonly<Record<string, unknown>>;
  /** Arguments of Node, before the program. */
  readonly nodeArgs?: readonly string[];
  /** Path of the program; default: its bundle if there is one, else its source. */
  readonly main?: string | undefined;
  /** JavaScript that runs in the process before the program. */
  readonly before?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Program that starts Node, with its arguments; default: Node itself. */
  readonly launcher?: readonly string[];
}

/** Resolves when it has its first token. */
export async function startSidecarProcess(options: SidecarProcessOptions): Promise<SidecarProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'aritma-sidecar-test-'));
  writeFileSync(join(folder, 'secret'), 'secret-of-the-test', { mode: 0o600 });
  const file = join(folder, 'config.json');
  writeFileSync(file, JSON.stringify(configOf(options, join(folder, 'secret'))));
  const { launcher = [], nodeArgs = [], main = MAIN, before, env } = options;
  const program = before === undefined ? main : join(folder, 'before.mjs');
  if (before !== undefined) writeFileSync(program, `${before}\nawait import(${JSON.stringify(main)});\n`);
  const [command = '', ...args] = [...launcher, process.execPath, ...nodeArgs, program, 'serve', '--config', file];
  const child = spawn(command, args, { cwd: folder, env: { ...COMPILED, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(child, 'exit');
  const output = { stdout: '', stderr: '' };
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  const collect = (text: string) => {
    output.stdout += text;
  };
  child.stdout.setEncoding('utf8').on('data', collect);
  const isAlive = () => child.exitCode === null && child.signalCode === null;
  const end = async (signal: NodeJS.Signals) => {
    if (isAlive()) child.kill(signal);
    await exited;
    rmSync(folder, { recursive: true, force: true });
    return { code: child.exitCode, stderr: output.stderr };
  };
  try {
    const isUp = () => ['token obtained', 'listening for callers'].every((text) => output.stdout.includes(text));
    await until('the sidecar has a token', () => !isAlive() || isUp());
    const [adminUrl = '', url = ''] = ['operators', 'callers'].map((who) => addressIn(output.stdout, who));
    // The log is still read, because a full pipe would block the process, but it is not kept.
    child.stdout.off('data', collect).resume();
    const pid = child.pid ?? 0;
    return {
      port: Number(new URL(url).port),
      adminUrl,
      pid,
      isAlive,
      metric: async (name) => valueIn(await read(`${adminUrl}/metrics`), name),
      sockets: () => socketsOf(pid),
      stop: () => end('SIGTERM'),
      [Symbol.asyncDispose]: async () => void (await end('SIGKILL')),
    };
  } catch (error) {
    await end('SIGKILL');
    throw new Error(`the sidecar did not start: ${output.stdout}${output.stderr}`, { cause: error });
  }
}

function configOf({ upstream, tokenEndpoint, route, config }: SidecarProcessOptions, secretFile: string): object {
  return {
    listen: '127.0.0.1:0',
    admin: '127.0.0.1:0',
    credentials: {
      default: { tokenEndpoint, clientId: 'test-erp', secrets: [{ file: secretFile }], scope: 'api' },
    },
    routes: [{ path: '/api', upstream, ...route }],
    log: { format: 'json' },
    ...config,
  };
}

function addressIn(log: string, who: string): string {
  const address = new RegExp(`"address":"([^"]+)","message":"listening for ${who}"`).exec(log)?.[1];
  if (address === undefined) throw new Error(`no address for ${who}`);
  return address;
}

/** On a new connection each time, so that none stays open. */
async function read(url: string): Promise<string> {
  const [answer] = await once(get(url, { agent: false }), 'response');
  let text = '';
  for await (const chunk of answer) text += String(chunk);
  return text;
}

function valueIn(metrics: string, name: string): number {
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(metrics)?.[1] ?? Number.NaN);
}

function socketsOf(pid: number): number {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).filter((fd) => isSocket(`${folder}/${fd}`)).length;
}

function isSocket(path: string): boolean {
  try {
    return readlinkSync(path).startsWith('socket:');
  } catch {
    // Closed since the folder was read.
    return false;
  }
}
