/**
 * Gives a new secret to the operator's own program, for places other than a file or a Kubernetes Secret: a vault, a
 * configuration service, an ERP's own settings.
 */
import { spawn } from 'node:child_process';
import { SidecarError } from '../../core/errors.ts';
import type { Secret } from '../../core/secret.ts';

export interface ExecHook {
  /** Program and arguments; no shell. */
  readonly command: readonly string[];
  readonly clientId: string;
  readonly timeoutMs: number;
}

/**
 * Runs the program with `{"clientId":…,"secret":…}` on standard input, never on its command line, which `ps` shows to
 * everyone. The program must store the secret durably before it exits with 0, and may get the same one twice.
 * @throws SidecarError ROTATION_STORE_FAILED with how it ended; its output may hold the secret and is discarded
 */
export async function execStore({ command, clientId, timeoutMs }: ExecHook, value: Secret): Promise<void> {
  const [program = '', ...args] = command;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (fields: Readonly<Record<string, string | number>>) =>
    reject(new SidecarError('ROTATION_STORE_FAILED', { fields: { doing: 'run', file: program, ...fields } }));
  const failed = (error: unknown) => fail({ errno: String((error as NodeJS.ErrnoException).code) });
  const child = startProgram(program, args, timeoutMs, failed);
  if (!child) return await promise;
  child.on('error', failed);
  child.on('close', (code, signal) => (code === 0 ? resolve() : fail({ ended: signal ?? `exit ${code}` })));
  // A program that does not read all input may still succeed: its exit code decides.
  child.stdin.on('error', () => undefined);
  child.stdin.end(`${JSON.stringify({ clientId, secret: value.reveal() })}\n`);
  await promise;
}

/** Without --allow-child-process, Node's permission model throws at once; every other failure is an event. */
function startProgram(program: string, args: readonly string[], timeout: number, failed: (error: unknown) => void) {
  try {
    return spawn(program, args, { stdio: ['pipe', 'ignore', 'ignore'], timeout, killSignal: 'SIGKILL' });
  } catch (error) {
    failed(error);
    return undefined;
  }
}
