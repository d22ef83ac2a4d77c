/**
 * The question before something is deleted or made. Asked on standard error, so that standard output is the result alone.
 */
import { createInterface } from 'node:readline';
import { type IamFlags, usageError } from './flags.ts';

/**
 * Whether to go on: by `--yes`, or because a person says so.
 * @throws SidecarError CONFIG_INVALID without `--yes` where nobody can be asked
 */
export async function confirm(question: string, flags: IamFlags): Promise<boolean> {
  if (flags['yes'] === true) return true;
  assertAskable(flags);
  return isWanted(question, process.stdin);
}

/** Whether somebody says yes; the end of input says no. */
export async function isWanted(question: string, input: NodeJS.ReadableStream): Promise<boolean> {
  process.stderr.write(`${question} [y/N] `);
  return /^y(es)?$/i.test((await response(input))?.trim() ?? '');
}

/** The same complaint before anything has been asked of the server. @throws SidecarError CONFIG_INVALID */
export function assertAskable(flags: IamFlags): void {
  if (flags['yes'] === true || process.stdin.isTTY) return;
  throw usageError('flag --yes', 'is needed to delete where nobody can be asked (standard input is no terminal)');
}

/** Undefined at the end of input. Line by line rather than key by key: Ctrl-C then ends the program as everywhere else. */
function response(input: NodeJS.ReadableStream): Promise<string | undefined> {
  const lines = createInterface({ input, terminal: false });
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  lines.once('line', resolve);
  lines.once('close', () => resolve(undefined));
  return promise.finally(() => lines.close());
}
