/** A program at a terminal, which util-linux `script` provides: what is on the screen, and keys to press. */
import { type ChildProcess, spawn } from 'node:child_process';

export interface ScriptTerminal extends AsyncDisposable {
  readonly child: ChildProcess;
  /** What the screen got, without carriage returns. */
  screen(): string;
  type(keys: string): void;
  readonly code: Promise<number | null>;
}

export interface ScriptTerminalOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** Longest run time, ms. */
  readonly limitMs?: number;
}

/** @param program with its arguments, none of which has a quote */
export function openScriptTerminal(
  program: readonly string[],
  { env, cwd, limitMs = 20_000 }: ScriptTerminalOptions,
): ScriptTerminal {
  const quoted = program.map((word) => `'${word}'`).join(' ');
  const whole = { ...env, PATH: process.env['PATH'] ?? '', SHELL: '/bin/sh' };
  const child = spawn('script', ['-qefc', quoted, '/dev/null'], { env: whole, cwd });
  let screen = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    screen += text;
  });
  const limit = setTimeout(() => child.kill('SIGKILL'), limitMs);
  const code = new Promise<number | null>((resolve) => child.once('close', resolve)).finally(() => clearTimeout(limit));
  return {
    child,
    screen: () => screen.replaceAll('\r', ''),
    type: (keys) => void child.stdin.write(keys),
    code,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await code;
    },
  };
}
