/**
 * Asks before something is created or deleted. Asks on standard error, so that standard output holds the result only.
 */
import { createInterface } from 'node:readline';
import { type IamFlags, usageError } from './flags.ts';

/**
 * Returns whether to continue: with `--yes`, or after a yes on the terminal.
 * @throws SidecarError CONFIG_INVALID without `--yes` and without a terminal
 */
export async function confirm(question: string, flags: IamFlags): Promise<boolean> {
  if (flags['yes'] === true) return true;
  assertAskable(flags);
  return isWanted(question, process.stdin);
}

/** Asks and returns whether the reply is yes. The end of input means no. */
export async function isWanted(question: string, input: NodeJS.ReadableStream): Promise<boolean> {
  process.stderr.write(`${question} [y/N] `);
  return /^y(es)?$/i.test((await response(input))?.trim() ?? '');
}

/** Throws the same error before the first request to IAM. @throws SidecarError CONFIG_INVALID */
export function assertAskable(flags: IamFlags): void {
  if (flags['yes'] === true || process.stdin.isTTY) return;
  throw usageError('flag --yes', 'is required to delete: standard input is not a terminal, so nobody can confirm');
}

/** Reads one line; undefined at the end of input. Not key by key, so that Ctrl-C ends the program as usual. */
function response(input: NodeJS.ReadableStream): Promise<string | undefined> {
  const lines = createInterface({ input, terminal: false });
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  lines.once('line', resolve);
  lines.once('close', () => resolve(undefined));
  return promise.finally(() => lines.close());
}
