#!/usr/bin/env node
/**
 * Command line to exit code: the only reader of argv and the only place that ends the process.
 */
import { CommanderError } from 'commander';
import { createProgram } from './cli.ts';
import { ERRORS, SidecarError } from './errors.ts';

const CRASHED = 1;
const USAGE = 2;

process.on('uncaughtException', (error) => crash('unexpected error', error));
process.on('unhandledRejection', (reason) => crash('unhandled rejection', reason));
// A closed pipe (`| head`) ends the output, not the sidecar.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);

createProgram({ exit: (code) => process.exit(code) })
  .parseAsync(process.argv)
  .catch((error: unknown) => {
    if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : USAGE);
    if (!(error instanceof SidecarError)) crash('unexpected error', error);
    else {
      process.stderr.write(explain(error));
      process.exit(ERRORS[error.code].exit);
    }
  });

/** What went wrong, where, and what to do; never a value. */
function explain({ code, extras }: SidecarError): string {
  const { title, detail } = ERRORS[code];
  const problems = extras.problems ?? [];
  const evidence = Object.entries(extras.fields ?? {}).map(([name, value]) => `  ${name}: ${value}\n`);
  const lines = problems.map(({ where, path, message }) => `  ${where}: ${path === '' ? '' : `${path} `}${message}\n`);
  const count = problems.length > 0 ? ` (${problems.length} problem${problems.length > 1 ? 's' : ''})` : '';
  return `${code}: ${title}${count}\n${lines.join('')}${evidence.join('')}${detail}\n`;
}

/** An error nobody foresaw may quote anything, so only its class and the places it came through are shown. */
function crash(what: string, error: unknown): void {
  const { name, code, stack } = (error ?? {}) as { name?: string; code?: string; stack?: string };
  const frames = (stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  process.stderr.write(`${what}: ${[name, code].filter(Boolean).join(' ')}\n${frames.join('\n')}\n`);
  process.exit(CRASHED);
}
