/**
 * The processes of a bench: started on a core of their own where the machine has two, ended when the bench ends, however
 * it ends.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { treeOf } from './load/processes.ts';

/** What is measured has the one core, what measures the other. */
export const CORE = { subject: 0, measuring: 1 } as const;

export interface Child {
  readonly process: ChildProcess;
  readonly pid: number;
  /** Undefined while it runs. */
  ended(): string | undefined;
  /** Resolves when it is gone: asked at first, then made to. */
  stop(): Promise<void>;
}

export interface ChildOptions {
  readonly core?: number;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** File that gets what it prints; absent = thrown away. Errors go to the same file. */
  readonly outputFile?: string;
  /** With a channel for messages. */
  readonly messages?: boolean;
}

const STOP_MS = 10_000;
const alive = new Set<ChildProcess>();

let pinned = false;

/**
 * Gives each process its core from now on.
 * @returns false on a machine with one core or without taskset: then everything shares what there is
 */
export function pinChildren(): boolean {
  const cores = `${CORE.subject},${CORE.measuring}`;
  pinned = availableParallelism() >= 2 && spawnSync('taskset', ['-c', cores, 'true']).status === 0;
  return pinned;
}

/** To be called once, before the first child. */
export function endWithBench(): void {
  process.once('exit', killAll);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130));
}

/** Node itself with TypeScript files as programs. */
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
    // Nothing of the shell that happens to run the bench changes a subject.
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', output, outputFile === undefined ? 'inherit' : output, ...(messages ? ['ipc' as const] : [])],
  });
  alive.add(child);
  child.once('error', () => alive.delete(child)).once('exit', () => alive.delete(child));
  return { process: child, pid: child.pid ?? 0, ended: () => endOf(child), stop: () => stop(child) };
}

/** The next message of a child; fails when it ends instead. */
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
  const patience = setTimeout(() => killTree(child), STOP_MS);
  child.kill('SIGTERM');
  await exited;
  clearTimeout(patience);
}

function killAll(): void {
  for (const child of alive) killTree(child);
}

/** With its descendants: the workers of a killed nginx would go on. */
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
