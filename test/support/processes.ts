/** An emulator and a sidecar in front of it, each in its own process, as in production. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { MAIN } from './cli.ts';
import { COMPILED } from './compiled.ts';
import { PATIENCE_MS } from './own-time.ts';

export interface Processes extends AsyncDisposable {
  /** Origin of the sidecar; routes `/banking`, `/events` and `/echo`. */
  readonly url: string;
  readonly port: number;
  readonly adminUrl: string;
  readonly pid: number;
}

/** Resolves when the sidecar has its first token. */
export async function startProcesses(): Promise<Processes> {
  const folder = mkdtempSync(join(tmpdir(), 'aritma-sidecar-test-'));
  const children: ChildProcess[] = [];
  const start = async (args: readonly string[], wanted: (line: Line) => boolean): Promise<Line> => {
    const child = spawn(process.execPath, [MAIN, ...args], {
      cwd: folder,
      env: { ...process.env, ...COMPILED },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    return await firstLine(child, wanted);
  };
  const stop = async () => {
    await Promise.all(children.map(kill));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const emulator = await start(['emulate', '--listen', '127.0.0.1:0', '--json'], ({ url }) => url !== undefined);
    const file = join(folder, 'config.json');
    writeFileSync(file, JSON.stringify(config(folder, String(emulator['url']))));
    const addresses: string[] = [];
    await start(['serve', '--config', file], ({ message, address }) => {
      if (typeof address === 'string') addresses.push(address);
      return message === 'token obtained' && addresses.length === 2;
    });
    const [adminUrl = '', url = ''] = addresses;
    return { url, adminUrl, port: Number(new URL(url).port), pid: children[1]?.pid ?? 0, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Resident memory in bytes; undefined where the system does not report it. */
export function residentBytes(pid: number): number | undefined {
  try {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kib === undefined ? undefined : Number(kib) * 1024;
  } catch {
    return undefined;
  }
}

type Line = Readonly<Record<string, unknown>>;

async function firstLine(child: ChildProcess, wanted: (line: Line) => boolean): Promise<Line> {
  if (!child.stdout) throw new Error('no output');
  // Continues to read afterwards: a full pipe would block the process.
  const lines = createInterface({ input: child.stdout });
  const { promise, resolve, reject } = Promise.withResolvers<Line>();
  const timer = setTimeout(() => reject(new Error('the process did not start in time')), PATIENCE_MS);
  child.once('exit', (code) => reject(new Error(`the process ended with ${code}`)));
  lines.on('line', (text) => {
    const line = JSON.parse(text) as Line;
    if (wanted(line)) resolve(line);
  });
  return await promise.finally(() => clearTimeout(timer));
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

function config(folder: string, emulator: string): object {
  const secretFile = join(folder, 'secret');
  writeFileSync(secretFile, DEMO_CLIENT.secrets[0]?.value ?? '', { mode: 0o600 });
  return {
    listen: '127.0.0.1:0',
    admin: '127.0.0.1:0',
    credentials: {
      default: {
        tokenEndpoint: `${emulator}/connect/token`,
        clientId: DEMO_CLIENT.clientId,
        secrets: [{ file: secretFile }],
        scope: 'api',
      },
    },
    routes: [
      { path: '/banking', upstream: `${emulator}/banking/api` },
      { path: '/events', upstream: `${emulator}/events` },
      { path: '/echo', upstream: `${emulator}/echo` },
    ],
    log: { format: 'json' },
  };
}
