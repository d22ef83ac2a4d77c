/**
 * Runs one program that prints a secret. Time and size are limited, no shell is involved, and nothing of what the program
 * prints gets into a message: only its name and how it ended.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { basename, resolve } from 'node:path';

export interface ProgramCall {
  /** Program and arguments; no shell. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Working directory. */
  readonly cwd: string;
}

export interface ProgramLimits {
  readonly limitMs?: number;
  /** Kills the program at once. */
  readonly signal?: AbortSignal;
}

/** What a program printed, or why that is of no use. */
export type Printed =
  | { readonly name: string; readonly text: string; readonly ms: number; problem?: never }
  | { readonly name: string; readonly problem: string; text?: never; ms?: never };

/** Ten times what a command line of a vault or a cloud needs. */
const LIMIT_MS = 10_000;
/** As for secret files. */
const MAX_BYTES = 64 * 1024;

type End =
  | { readonly kind: 'closed'; readonly code: number | null; readonly signal: string | null }
  | { readonly kind: 'error'; readonly errno: string }
  | { readonly kind: 'late' }
  | { readonly kind: 'large' };

/**
 * Runs the program and returns what it printed on standard output. Standard input is empty, standard error is discarded.
 * At a limit the program is killed with everything it started; on Windows, which has no process groups, it alone.
 * Never rejects.
 */
export async function runProgram(call: ProgramCall, limits: ProgramLimits = {}): Promise<Printed> {
  const startedAt = performance.now();
  const name = nameOf(call);
  const child = start(call);
  if ('errno' in child) return { name, problem: whyNotStarted(child.errno, call) };
  const chunks: Buffer[] = [];
  const end = await ended(child, chunks, limits);
  const problem = problemOf(end, call, child);
  if (problem !== undefined) return { name, problem };
  return { name, text: Buffer.concat(chunks).toString('utf8'), ms: performance.now() - startedAt };
}

/** Without --allow-child-process, Node's permission model throws at once; most other failures are an event. */
function start({ command, env, cwd }: ProgramCall): Started | { readonly errno: string } {
  const [program = '', ...args] = command;
  // Its own process group, so that what it started can be killed with it.
  const detached = process.platform !== 'win32';
  try {
    const stdio: ['ignore', 'pipe', 'ignore'] = ['ignore', 'pipe', 'ignore'];
    return spawn(program, args, { stdio, env: { ...env }, cwd: resolve(cwd), detached, windowsHide: true });
  } catch (error) {
    return { errno: String((error as NodeJS.ErrnoException).code) };
  }
}

/** Without file descriptors left for pipes, `stdout` is missing, and the failure is an event all the same. */
type Started = Pick<ChildProcess, 'pid' | 'kill' | 'exitCode' | 'signalCode' | 'on'> & {
  readonly stdout?: ChildProcess['stdout'] | undefined;
};

async function ended(child: Started, chunks: Buffer[], { limitMs = LIMIT_MS, signal }: ProgramLimits): Promise<End> {
  const { promise, resolve: end } = Promise.withResolvers<End>();
  let bytes = 0;
  child.stdout?.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) end({ kind: 'large' });
    else chunks.push(chunk);
  });
  child.on('error', (error) => end({ kind: 'error', errno: String((error as NodeJS.ErrnoException).code) }));
  // Not `exit`: what is still in the pipe belongs to the output.
  child.on('close', (code, signal) => end({ kind: 'closed', code, signal }));
  const timer = setTimeout(() => end({ kind: 'late' }), limitMs);
  const killOnExit = () => kill(child);
  process.once('exit', killOnExit);
  signal?.addEventListener('abort', killOnExit);
  const result = await promise;
  process.off('exit', killOnExit);
  signal?.removeEventListener('abort', killOnExit);
  clearTimeout(timer);
  if (result.kind === 'late' || result.kind === 'large') kill(child);
  // Something that left the group can keep the pipe open: nobody waits for it.
  child.stdout?.destroy();
  return result;
}

function kill(child: Started): void {
  try {
    if (process.platform === 'win32' || child.pid === undefined) child.kill('SIGKILL');
    else process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It has ended, and so has everything it started.
  }
}

const BY_HAND = 'run it by hand as the user of the sidecar to see why';

function problemOf(end: End, call: ProgramCall, child: Started): string | undefined {
  const hasExited = child.exitCode !== null || child.signalCode !== null;
  if (end.kind === 'error') return whyNotStarted(end.errno, call);
  if (end.kind === 'large')
    return `printed more than ${MAX_BYTES / 1024} KiB and was killed: let it print the secret and nothing else`;
  if (end.kind === 'late')
    return hasExited
      ? 'has ended, but something that it started holds its output open and was killed: let that close its output'
      : `did not end in time and was killed: ${BY_HAND}; it must not ask for anything`;
  if (end.code === 0) return undefined;
  return `ended with ${end.signal === null ? `exit code ${end.code}` : `signal ${end.signal}`}: ${BY_HAND}`;
}

/** The system's reasons, and what to do about them. */
const NOT_STARTED: Readonly<Record<string, string>> = {
  ENOENT: 'was not found: write its whole path, or add its folder to PATH',
  EACCES: 'cannot be executed by the user of the sidecar: it must be a file with the permission to execute (chmod +x)',
  ENOEXEC: 'is not a program: a script needs a first line such as #!/bin/sh',
  EMFILE: 'cannot be started: the sidecar may open no more files; raise that limit (LimitNOFILE, ulimit -n)',
  ERR_ACCESS_DENIED: 'cannot be started under the permission model of Node: add --allow-child-process',
  EINVAL: 'cannot be started: on Windows a .cmd or .bat file needs cmd.exe, /d, /s, /c before its name',
};

function whyNotStarted(errno: string, { command: [program = '', ...args] }: ProgramCall): string {
  const isLine = args.length === 0 && /\s/.test(program);
  if (isLine && errno === 'ENOENT')
    return `was not found (${errno}): write the program and each argument as its own entry, because no shell splits them`;
  if (/[/\\]/.test(program) && errno === 'ENOENT')
    return `was not found at this path, or is a script without the program of its \`#!\` line (${errno}): correct the path`;
  return `${NOT_STARTED[errno] ?? `cannot be started: ${BY_HAND}`} (${errno})`;
}

/** A name only: people put a whole command line there, or the secret itself. */
function nameOf({ command: [program = ''] }: ProgramCall): string {
  const name = basename(program);
  return /^[\w.+-]{1,40}$/.test(name) ? ` ${name}` : '';
}
