/**
 * `config init`: asks for what a first configuration needs, or takes it from flags, and writes it. Nothing is written
 * before the last reply, so Ctrl-C leaves nothing behind.
 */
import { existsSync } from 'node:fs';
import { link, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { loadConfig } from '../config/load.ts';
import type { Problem } from '../config/problems.ts';
import { renameWithRetry } from '../core/durable-fs.ts';
import { SidecarError } from '../core/errors.ts';
import { writeFailure } from '../core/file-errors.ts';
import { randomSecret, type Secret } from '../core/secret.ts';
import { createReport } from '../core/terminal.ts';
import { type Choices, documentOf, PORT } from './config-document.ts';
import { mistakesIn } from './config-mistakes.ts';
import { baseUrls, howToGoOn, yamlOf } from './config-text.ts';
import type { Flags } from './flags.ts';
import { type KeptSecret, keepSecret } from './iam/secret-file.ts';
import { askHidden, createQuestions, type Question } from './questions.ts';

/** What was written, and whether the secret is there, so that the configuration can be tested. */
export interface Made {
  readonly file: string;
  readonly hasSecret: boolean;
}

/**
 * Writes the configuration and prints the base URLs for the ERP.
 * @throws SidecarError CONFIG_INVALID for missing or wrong flags, an existing file, or an end of input at a question
 */
export async function initConfig(flags: Flags): Promise<Made> {
  const file = resolve(textOf(flags, 'out') ?? 'aritma-sidecar.yaml');
  const force = flags['force'] === true;
  if (!force && existsSync(file)) throw usage([EXISTS]);
  const { choices, isAsked } = await choicesFor(flags, dirname(file));
  const problems = problemsOf(choices);
  if (problems.length > 0) throw usage(problems);
  const document = documentOf(choices);
  const files = await filesFor(choices, isAsked);
  await writeAll(files, () => writeWhole(file, yamlOf(document, file), force));
  const report = createReport(process.stdout, flags['json'] === true);
  const created = files.map(([path]) => path);
  report.line({ text: ['wrote', file, ...created].join('\n  '), data: { event: 'written', file, created } });
  for (const { path, url, upstream } of baseUrls(document)) {
    const data = { event: 'base URL', path, url, upstream };
    report.line({ text: `base URL for the ERP: ${url}  (${upstream})`, data });
  }
  const hasSecret = choices.secret?.exec !== undefined || !lacksSecret(file);
  if (!hasSecret) report.line({ text: howToGoOn(choices, file), data: { event: 'secret missing', ...choices.secret } });
  return { file, hasSecret };
}

/** Asks only when something is missing, so that a script with all flags is never asked. */
async function choicesFor(flags: Flags, folder: string): Promise<{ choices: Choices; isAsked: boolean }> {
  const given = fromFlags(flags);
  const missing = MISSING.filter(({ isThere }) => !isThere(given));
  if (missing.length === 0) return { choices: given, isAsked: false };
  const wrong = problemsOf({ ...EXAMPLE, ...given });
  if (!process.stdin.isTTY) throw usage([...missing, ...wrong]);
  if (wrong.length > 0) throw usage(wrong);
  return { choices: await interview(given, folder), isAsked: true };
}

/** Returns what is wrong with choices that are complete, with the flag of each. */
function problemsOf(choices: Choices): Omit<Problem, 'path'>[] {
  const wrong = ENVIRONMENT.judge?.(choices.environment ?? '');
  // Without the presets of an environment, every other option would seem to be missing.
  const rest = mistakesIn(wrong === undefined ? choices : { ...choices, environment: 'dev' });
  return [
    ...(wrong === undefined ? [] : [{ where: flagOf('environment'), message: wrong }]),
    ...rest.map(({ path, text }) => ({ where: flagOf(path), message: text })),
  ];
}

/** Stands in for what is missing, so that what is there can be judged. */
const EXAMPLE: Choices = { environment: 'dev', clientId: 'my-erp', secret: { env: 'SECRET' } };

type NewFile = readonly [path: string, value: Secret];

/** The files with secrets that do not exist yet. */
async function filesFor({ secret, callerKeyFile }: Choices, isAsked: boolean): Promise<NewFile[]> {
  const files: NewFile[] = [];
  if (isAsked && secret?.file !== undefined && !existsSync(secret.file)) {
    const typed = await askHidden(HIDDEN, process.stdin, process.stderr);
    if (typed) files.push([secret.file, typed]);
  }
  if (callerKeyFile !== undefined && !existsSync(callerKeyFile)) files.push([callerKeyFile, randomSecret()]);
  return files;
}

const SOURCES = '--secret-file, --secret-env or --secret-exec';
const UNATTENDED = 'is required: standard input is not a terminal, so nobody can be asked';
const EXISTS = {
  where: 'flag --out',
  message: 'names an existing file; choose another name, or replace it with --force',
};

const MISSING = [
  { where: 'flag --environment', message: UNATTENDED, isThere: (given: Choices) => given.environment !== undefined },
  { where: 'flag --client-id', message: UNATTENDED, isThere: (given: Choices) => given.clientId !== undefined },
  { where: `flag ${SOURCES}`, message: UNATTENDED, isThere: (given: Choices) => given.secret !== undefined },
];

/** The flag that sets an option. The first match counts. */
const FLAGS: readonly (readonly [path: RegExp, flag: string])[] = [
  [/^environment/, '--environment'],
  [/clientId$/, '--client-id'],
  [/secrets/, SOURCES],
  [/headers/, '--header'],
  [/^listen/, '--listen'],
  [/^admin/, '--admin'],
  [/^callers/, '--caller-key-file'],
  [/^/, '--calls'],
];

function flagOf(path: string): string {
  return `flag ${FLAGS.find(([pattern]) => pattern.test(path))?.[1]}`;
}

function usage(problems: readonly Omit<Problem, 'path'>[]): SidecarError {
  return new SidecarError('CONFIG_INVALID', { problems: problems.map((problem) => ({ path: '', ...problem })) });
}

function textOf(flags: Flags, name: string): string | undefined {
  const value = flags[name];
  return typeof value === 'string' ? value : undefined;
}

/** @throws SidecarError CONFIG_INVALID when there is more than one source of the secret */
function fromFlags(flags: Flags): Choices {
  const [file, env, exec] = ['secretFile', 'secretEnv', 'secretExec'].map((name) => textOf(flags, name));
  const sources = [
    ...(file === undefined ? [] : [{ file: resolve(file) }]),
    ...(env === undefined ? [] : [{ env }]),
    ...(exec === undefined ? [] : [{ exec: words(exec) }]),
  ];
  if (sources.length > 1) throw usage([{ where: flagOf('secrets'), message: 'only one of these can be given' }]);
  const key = textOf(flags, 'callerKeyFile');
  const given = {
    environment: textOf(flags, 'environment'),
    clientId: textOf(flags, 'clientId'),
    secret: sources[0],
    calls: textOf(flags, 'calls'),
    headers: flags['header'] as readonly string[] | undefined,
    listen: textOf(flags, 'listen'),
    admin: textOf(flags, 'admin'),
    callerKeyFile: key && resolve(key),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

const words = (text: string) => text.trim().split(/\s+/);

/** Asks for everything that no flag has set. */
async function interview(given: Choices, folder: string): Promise<Choices> {
  const questions = createQuestions(process.stdin, process.stderr);
  let choices = given;
  /** Skips what is known. @param take the reply as part of all choices @param path of the options that it sets */
  const ask = async (question: Question, path: RegExp, take: (reply: string) => Choices) => {
    if (Object.keys(take('')).every((name) => Object.hasOwn(choices, name))) return;
    const judge = (reply: string) =>
      mistakesIn({ ...choices, ...take(reply) }).find((problem) => path.test(problem.path))?.message;
    choices = { ...choices, ...take(await questions.ask({ judge, ...question })) };
  };
  const secretFile = join(folder, 'client-secret');
  await ask(ENVIRONMENT, /^environment/, (environment) => ({ environment }));
  await ask({ text: '2. Client id' }, /clientId$/, (clientId) => ({ clientId }));
  await ask({ text: SOURCE, fallback: secretFile }, /secrets/, (reply) => ({ secret: sourceOf(reply) }));
  await ask({ text: CALLS, fallback: 'banking, events' }, /^routes/, (calls) => ({ calls }));
  if (!Object.hasOwn(choices, 'headers')) choices = { ...choices, headers: await askHeaders(questions.ask, choices) };
  await ask({ text: '5. Port for the ERP on this machine', fallback: PORT }, /^listen/, (listen) => ({ listen }));
  if (!Object.hasOwn(choices, 'callerKeyFile') && /^y(es)?$/i.test(await questions.ask({ text: KEY, fallback: 'n' })))
    choices = { ...choices, callerKeyFile: join(folder, 'caller-key') };
  questions.close();
  return choices;
}

/** `none` needs more than what is asked here. */
const ENVIRONMENT: Question = {
  text: '1. Which Aritma: dev, prod or emulator',
  fallback: 'dev',
  judge: (reply) => (/^(?:dev|prod|emulator)$/.test(reply) ? undefined : 'must be one of: dev, prod, emulator'),
};
const SOURCE = '3. Where is the client secret: a file, env:VARIABLE or exec:PROGRAM ARGUMENTS';
const CALLS = '4. What does the ERP call: banking, events or /PATH=URL';
const HEADER = '   Header to add that the ERP cannot send, such as Subscription-Id=VALUE; Enter for none or no more';
const HIDDEN = 'The client secret, which is not shown; Enter to create its file later';
const KEY = '   Must the ERP send a key? Without one, every program on this machine can call: y or n';

function sourceOf(reply: string): NonNullable<Choices['secret']> {
  if (reply.startsWith('env:')) return { env: reply.slice('env:'.length) };
  if (reply.startsWith('exec:')) return { exec: words(reply.slice('exec:'.length)) };
  return { file: resolve(reply) };
}

async function askHeaders(ask: (question: Question) => Promise<string>, choices: Choices): Promise<string[]> {
  const headers: string[] = [];
  for (;;) {
    const judge = (reply: string) => {
      const found = reply === '' ? [] : mistakesIn({ ...choices, headers: [...headers, reply] });
      return found.find(({ path }) => path.startsWith('headers'))?.message;
    };
    const reply = await ask({ text: HEADER, judge });
    if (reply === '') return headers;
    headers.push(reply);
  }
}

/** Writes the files with secrets, mode 0600, and then the rest; removes them again when that fails. */
async function writeAll(files: readonly NewFile[], rest: () => Promise<void>): Promise<void> {
  const kept: KeptSecret[] = [];
  try {
    for (const [path, value] of files) kept.push(await keepSecret(path, value, false));
    await rest();
  } catch (error) {
    for (const one of kept) await one.undo();
    throw error;
  }
}

/** Writes a file that is never seen in part. A link, unlike a rename, replaces nothing. */
async function writeWhole(path: string, text: string, force: boolean): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.aritma-new`);
  try {
    await rm(temporary, { force: true });
    await writeFile(temporary, text, { flag: 'wx' });
    if (force) await renameWithRetry(temporary, path);
    else await link(temporary, path);
  } catch (error) {
    const errno = String((error as NodeJS.ErrnoException).code);
    const { message, fix } = writeFailure(errno, path) ?? {
      message: `cannot be written (${errno})`,
      fix: 'choose another file',
    };
    throw usage([errno === 'EEXIST' ? EXISTS : { where: 'flag --out', message: `${message}; ${fix}` }]);
  } finally {
    await rm(temporary, { force: true });
  }
}

function lacksSecret(file: string): boolean {
  try {
    loadConfig({ file });
    return false;
  } catch (error) {
    if (!(error instanceof SidecarError)) throw error;
    return (error.extras.problems ?? []).some(({ path }) => path.startsWith('credentials.default.secrets'));
  }
}
