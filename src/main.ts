#!/usr/bin/env node
/** From argv to exit code: the only file that reads argv and ends the process. */
import { ERRORS, SidecarError } from './core/errors.ts';
import { sentence, sentences } from './core/failure.ts';
import { writeBounded } from './core/stdio.ts';
import { visible, visibleLines } from './core/terminal.ts';

const CRASHED = 1;
const USAGE = 2;
/** The first release of the 24 line with the TLS and response-queue fixes of June 2026; the same as in package.json. */
const OLDEST_NODE = [24, 17] as const;

process.on('uncaughtException', (error) => crash('unexpected error', error));
process.on('unhandledRejection', (reason) => crash('unhandled rejection', reason));
// A closed pipe (`| head`) ends the output, not the sidecar.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);
// By default SIGUSR1 opens Node's debugger, which can read every token, and SIGUSR2 ends the process.
for (const signal of ['SIGUSR1', 'SIGUSR2'] as const) process.on(signal, () => undefined);

requireNode();
// Without `await`: the package is CommonJS, which cannot wait here. It catches everything itself.
void main();

async function main(): Promise<void> {
  try {
    // Loaded after the version check: on an old Node its libraries do not load.
    const { createProgram } = await import('./cli/program.ts');
    const [json, args] = [process.argv.includes('--json'), process.argv.slice(2)];
    await createProgram({ exit: (code) => process.exit(code), json, args }).parseAsync(process.argv);
  } catch (error) {
    if (error instanceof SidecarError) {
      writeBounded(2, visibleLines(process.argv.includes('--json') ? asJson(error) : explain(error)));
      process.exit(ERRORS[error.code].exit);
    }
    // Commander has already printed what is wrong with the arguments.
    const { code, exitCode } = error as { code?: unknown; exitCode?: number };
    if (typeof code === 'string' && code.startsWith('commander.')) process.exit(exitCode === 0 ? 0 : USAGE);
    crash('unexpected error', error);
  }
}

function requireNode(): void {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [oldestMajor, oldestMinor] = OLDEST_NODE;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return;
  const needed = OLDEST_NODE.join('.');
  writeBounded(2, `aritma-sidecar needs Node ${needed} or later; this is ${process.versions.node}\n`);
  process.exit(USAGE);
}

/** Formats an error for people: what is wrong, where, and what to do; never a value of a secret. */
function explain({ code, extras }: SidecarError): string {
  const { title, detail } = ERRORS[code];
  const problems = extras.problems ?? [];
  const evidence = Object.entries(extras.fields ?? {}).map(([name, value]) => `  ${name}: ${visible(String(value))}\n`);
  const lines = problems.map(({ where, path, message }) => `  ${where}: ${path === '' ? '' : `${path} `}${message}\n`);
  const count = problems.length > 0 ? ` (${problems.length} problem${problems.length > 1 ? 's' : ''})` : '';
  return `${code}: ${title}${count}\n${lines.join('')}${evidence.join('')}${adviceOn(extras) ?? detail}\n`;
}

/** Formats the same error as one line of JSON. */
function asJson({ code, extras: { problems, fields, failure } }: SidecarError): string {
  const { title, detail } = ERRORS[code];
  return `${JSON.stringify({ level: 'error', code, title, detail, problems, ...fields, ...failure })}\n`;
}

/** Returns message and fix; only the fix when listed problems already show the message. */
function adviceOn({ failure, problems }: SidecarError['extras']): string | undefined {
  return failure && (problems ? sentence(failure.fix) : sentences(failure));
}

/** Prints class and stack frames of an unexpected error; never its message, which may contain secrets. */
function crash(what: string, error: unknown): void {
  const { name, code, stack } = (error ?? {}) as { name?: string; code?: string; stack?: string };
  const frames = (stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  writeBounded(2, `${what}: ${[name, code].filter(Boolean).join(' ')}\n${frames.join('\n')}\n`);
  process.exit(CRASHED);
}
