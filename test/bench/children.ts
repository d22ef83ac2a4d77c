/**
 * The processes of a bench. Each starts on its core if the machine has two, and ends when the bench ends, however that
 * happens.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { treeOf } from './load/processes.ts';

/** The subject has one core; load generator and upstream share the other. */
export const CORE = { subject: 0, measuring: 1 } as const;

export interface Child {
  readonly process: ChildProcess;
  readonly pid: number;
  /** Undefined while it runs. */
  ended(): string | undefined;
  /** Resolves when the process is gone: sends SIGTERM first, then SIGKILL. */
  stop(): Promise<void>;
}

export interface ChildOptions {
  readonly core?: number;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** File for standard output and standard error; absent = standard output is dropped. */
  readonly outputFile?: string;
  /** Opens a channel for messages. */
  readonly messages?: boolean;
}

const STOP_MS = 10_000;
const alive = new Set<ChildProcess>();

let pinned = false;

/**
 * Pins each process started from now on to its core.
 * @returns false on a machine with one core or without taskset: then all processes share the cores
 */
export function pinChildren(): boolean {
  const cores = `${CORE.subject},${CORE.measuring}`;
  pinned = availableParallelism() >= 2 && spawnSync('taskset', ['-c', cores, 'true']).status === 0;
  return pinned;
}

/** Call once, before the first child. */
export function endWithBench(): void {
  process.once('exit', killAll);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130));
}

/** Starts a TypeScript file with the Node that runs the bench. */
export function startNode(file: string, args: readonly string[], options: ChildOptions = {}): Child {
  return startProgram([process.execPath, file, ...args], { ...options, messages: true });
}

export function startProgram(command: readonly string[], options: ChildOptions = {}): Child {
  const { core, cwd, env = {}, outputFile, messages } = options;
  const [program = '', ...args] =
    pinned && core !== undefined ? ['taskset', '-c', String(core), ...command] : [...command];
  const output = outputFile === undefined ? 'ignore' : openSync(outputFile, 'a');
  const child = spawn(program, args, {
    cwd,
    // The environment of the shell that runs the bench must not change a subject.
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', output, outputFile === undefined ? 'inherit' : output, ...(messages ? ['ipc' as const] : [])],
  });
  alive.add(child);
  child.once('error', () => alive.delete(child)).once('exit', () => alive.delete(child));
  return { process: child, pid: child.pid ?? 0, ended: () => endOf(child), stop: () => stop(child) };
}

/** Returns the next message of a child. Fails if the child ends instead. */
export async function messageFrom<Message>(child: Child): Promise<Message> {
  const gone = new AbortController();
  const onExit = () => gone.abort();
  child.process.once('exit', onExit);
  try {
    const [message] = (await once(child.process, 'message', { signal: gone.signal })) as [Message];
    return message;
  } catch (error) {
    throw new Error(`a process of the bench ended too early: ${child.ended()}`, { cause: error });
  } finally {
    child.process.off('exit', onExit);
  }
}

function endOf({ exitCode, signalCode }: ChildProcess): string | undefined {
  return exitCode === null && signalCode === null ? undefined : `exit code ${exitCode}, signal ${signalCode}`;
}

async function stop(child: ChildProcess): Promise<void> {
  if (endOf(child) !== undefined || child.pid === undefined) return;
  const exited = once(child, 'exit');
  const timer = setTimeout(() => killTree(child), STOP_MS);
  child.kill('SIGTERM');
  await exited;
  clearTimeout(timer);
}

function killAll(): void {
  for (const child of alive) killTree(child);
}

/** Kills the descendants too: workers outlive a killed nginx. */
function killTree({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  for (const each of treeOf([pid])) {
    try {
      process.kill(each, 'SIGKILL');
    } catch {
      // Already gone.
    }
  }
}
