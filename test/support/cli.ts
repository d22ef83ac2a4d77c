/** The program as users start it: a child process with the environment that the test gives, always with a time limit. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { COMPILED } from './compiled.ts';
import { PATIENCE_MS } from './own-time.ts';

const ROOT = join(import.meta.dirname, '../..');
/** The bundle if there is one: see build-program.ts. */
export const MAIN = process.env['TEST_PROGRAM'] ?? join(ROOT, 'src/main.ts');
const LIMIT_MS = 2 * PATIENCE_MS;

export interface Ended {
  /** null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running extends AsyncDisposable {
  readonly child: ChildProcess;
  stdout(): string;
  stderr(): string;
  readonly ended: Promise<Ended>;
  /** Resolves with the match when standard output contains it. */
  untilStdout(pattern: RegExp): Promise<RegExpExecArray>;
  kill(signal: NodeJS.Signals): void;
}

export interface CliOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** File descriptor for standard output, instead of a pipe that is read. */
  readonly stdout?: number;
  /** Longest run time, ms. */
  readonly limitMs?: number;
  /** Program and first arguments instead of Node and the source; then `env` is its whole environment. */
  readonly program?: readonly string[];
  /** User and group to run it as; needs root. */
  readonly user?: number;
}

/** Starts the program; disposing kills it if it still runs. */
export function start(args: readonly string[], options: CliOptions = {}): Running {
  const { env = {}, cwd = '/', stdout, limitMs = LIMIT_MS, program, user } = options;
  const [command = '', ...first] = program ?? [process.execPath, process.env['TEST_PROGRAM'] ?? MAIN];
  const child = spawn(command, [...first, ...args], {
    env: program ? { ...env } : { ...COMPILED, ...env },
    cwd,
    stdio: ['ignore', stdout ?? 'pipe', 'pipe'],
    ...(user !== undefined && { uid: user, gid: user }),
  });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (chunk: string) => {
      output[name] += chunk;
    });
  }
  const limit = setTimeout(() => child.kill('SIGKILL'), limitMs);
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (code) => {
      clearTimeout(limit);
      resolve({ code, ...output });
    });
  });
  return {
    child,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    ended,
    async untilStdout(pattern) {
      for (const deadline = Date.now() + PATIENCE_MS; ; await sleep(5)) {
        const match = pattern.exec(output.stdout);
        if (match) return match;
        if (Date.now() > deadline) throw new Error(`no ${pattern} in: ${output.stdout}${output.stderr}`);
      }
    },
    kill: (signal) => void child.kill(signal),
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Runs the program to its end. */
export function run(args: readonly string[], options: CliOptions = {}): Promise<Ended> {
  return start(args, options).ended;
}

/** Parses every line as JSON; fails when one is not. */
export function jsonLines(output: string): Record<string, unknown>[] {
  return output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

export interface Addresses {
  readonly url: string;
  readonly adminUrl: string;
}

/** The address that a started sidecar listens on, from its log. */
export async function addressesOf(running: Running): Promise<Addresses> {
  const [, adminUrl = ''] = await running.untilStdout(/"address":"([^"]+)","message":"listening for operators"/);
  const [, url = ''] = await running.untilStdout(/"address":"([^"]+)","message":"listening for callers"/);
  return { url, adminUrl };
}
