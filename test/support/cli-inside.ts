/**
 * The program run to its end many times in one process: for commands of which the output and the exit code are tested, and
 * nothing of the process itself. A start of Node and of the program is most of the CPU time of such a command. What
 * signals, streams and a crash do to a process is tested with `start` and `run` of cli.ts.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { CliOptions, Ended } from './cli.ts';
import { COMPILED } from './compiled.ts';
import { PATIENCE_MS } from './own-time.ts';

/** What the child is asked for; it answers with the exit code when the program would have ended its process. */
export interface InsideCall {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Written to both streams before and after the output of the command. */
  readonly mark: string;
}

const CHILD = join(import.meta.dirname, 'cli-inside-child.ts');
const STREAMS = ['stdout', 'stderr'] as const;

interface Host {
  readonly child: ChildProcess;
  readonly output: Record<(typeof STREAMS)[number], string>;
}

/** Runs commands one after the other. */
export interface Inside extends AsyncDisposable {
  run(args: readonly string[], options?: Pick<CliOptions, 'env' | 'cwd'>): Promise<Ended & { readonly code: number }>;
}

/** Starts its process with the first command; to be disposed after the last one. */
export function createInside(): Inside {
  let host: Host | undefined;
  let calls = 0;
  let before: Promise<unknown> = Promise.resolve();
  return {
    run(args, { env = {}, cwd = '/' } = {}) {
      calls += 1;
      const asked = { args, env, cwd, mark: `\u0000call ${calls}\u0000` };
      const ended = before.then(() => {
        host ??= startHost();
        return call(host, asked);
      });
      before = ended.catch(() => undefined);
      return ended;
    },
    async [Symbol.asyncDispose]() {
      if (!host || host.child.exitCode !== null || host.child.signalCode !== null) return;
      host.child.kill('SIGKILL');
      await once(host.child, 'exit');
    },
  };
}

function startHost(): Host {
  const child = fork(CHILD, { env: { ...COMPILED }, execArgv: [], stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  const output = { stdout: '', stderr: '' };
  for (const name of STREAMS) {
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  }
  return { child, output };
}

/** The exit code and the last output come on three ways, in any order. */
async function call({ child, output }: Host, asked: InsideCall): Promise<Ended & { readonly code: number }> {
  for (const name of STREAMS) output[name] = '';
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const onExit = () => reject(new Error(`the process of many commands ended: ${output.stderr}`));
  const limit = setTimeout(() => reject(new Error(`no end of ${asked.args.join(' ')}: ${output.stderr}`)), PATIENCE_MS);
  child.once('message', resolve).once('exit', onExit);
  child.send(asked);
  try {
    const code = await promise;
    const [stdout, stderr] = await Promise.all(STREAMS.map((name) => between(child, name, output, asked.mark)));
    return { code, stdout: stdout ?? '', stderr: stderr ?? '' };
  } finally {
    clearTimeout(limit);
    child.off('message', resolve).off('exit', onExit);
  }
}

async function between(
  child: ChildProcess,
  name: (typeof STREAMS)[number],
  output: Host['output'],
  mark: string,
): Promise<string> {
  for (;;) {
    const [, text, end] = output[name].split(mark);
    if (end !== undefined) return text ?? '';
    await once(child[name] ?? child, 'data', { signal: AbortSignal.timeout(PATIENCE_MS) });
  }
}
