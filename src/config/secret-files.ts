/**
 * Reads client secrets and keys from their configured sources; programs have run before. A secret leaves this file only as a `Secret`: no message
 * contains any part of one.
 */
import { resolve } from 'node:path';
import { parsePrivateKey } from '../core/private-key.ts';
import { Secret } from '../core/secret.ts';
import { warnOfAccess } from './file-access.ts';
import { type FileStates, fileState, readRegularFile } from './regular-file.ts';
import type { Report, ValidParts } from './rules.ts';
import type { PrintedBy } from './secret-programs.ts';
import { shapeOf } from './secret-shape.ts';

export interface LoadedSecret {
  /** Position in `secrets`, from 1; its name in metrics. */
  readonly name: string;
  readonly value: Secret;
  /** `kid` and `alg` are for private_key_jwt. */
  readonly kid: string | undefined;
  readonly alg: string | undefined;
}

type Env = Readonly<Record<string, string | undefined>>;

export interface SecretContext {
  readonly env: Env;
  /** Base of relative file names. */
  readonly cwd: string;
  readonly report: Report;
  /** Default: the platform of this process. */
  readonly platform?: NodeJS.Platform;
  /** Warnings are appended. */
  readonly warnings: string[];
  /** Every configured file is appended, readable or not. */
  readonly files: FileStates;
  readonly programs: Programs;
}

/** What programs printed that were run before, and with which environment they run. */
interface Programs {
  readonly printed: PrintedBy | undefined;
  readonly env: Env;
}

/**
 * Reads the secrets of all credentials, by credential name, in the order they are tried. Reports what is not usable.
 */
export function loadSecrets(
  credentials: ValidParts['credentials'],
  context: SecretContext,
): Map<string, LoadedSecret[]> {
  const secrets = new Map<string, LoadedSecret[]>();
  for (const [credential, { secrets: sources, auth }] of credentials) {
    const loaded: LoadedSecret[] = [];
    sources.forEach((source, index) => {
      const { kid, alg } = source;
      const text = textOf(source, context);
      const read = auth === 'private_key_jwt' ? asKey(text, alg) : asSecret(text);
      const place = ['credentials', credential, 'secrets', index];
      warnOfShape(place, read, context);
      if (read.value) loaded.push({ name: String(index + 1), value: read.value, kid, alg });
      else context.report(place, read.problem);
    });
    secrets.set(credential, loaded);
  }
  return secrets;
}

/** Shorter keys could be guessed at the speed of loopback. */
const MIN_KEY_CHARS = 16;

/** Reads the keys of callers, by caller name. Keys identify callers, so two callers must not share one. */
export function loadCallerKeys(callers: ValidParts['callers'], context: SecretContext): Map<string, Secret[]> {
  const owners = new Map<string, string>();
  const keys = new Map<string, Secret[]>();
  for (const [caller, { secrets: sources }] of Object.entries(callers?.keys ?? {})) {
    const loaded: Secret[] = [];
    sources.forEach((source, index) => {
      const place = ['callers', 'keys', caller, index];
      const report = (problem: string) => context.report(place, problem);
      const read = readSecret(source, context);
      const { value, problem } = read;
      warnOfShape(place, read, context);
      if (!value) {
        report(problem);
        return;
      }
      const fingerprint = value.fingerprint();
      const owner = owners.get(fingerprint) ?? caller;
      if (value.length < MIN_KEY_CHARS)
        report(`must have at least ${MIN_KEY_CHARS} characters: create it with \`openssl rand -hex 32\``);
      else if (owner !== caller) report(`is also a key of ${owner}: each caller needs its own`);
      owners.set(fingerprint, owner);
      loaded.push(value);
    });
    keys.set(caller, loaded);
  }
  return keys;
}

type Text =
  | { readonly text: string; readonly what: string; problem?: never }
  | { readonly problem: string; text?: never };
interface Source {
  readonly file?: string | undefined;
  readonly env?: string | undefined;
  readonly exec?: readonly string[] | undefined;
}

type Read =
  | { readonly value: Secret; readonly shape?: string | undefined; problem?: never }
  | { readonly problem: string; value?: never; shape?: never };

/** Far more than any secret or PEM key needs. */
const MAX_BYTES = 64 * 1024;

function textOf({ file, env = '', exec }: Source, context: SecretContext): Text {
  if (exec) return fromProgram(exec, context);
  return file === undefined ? fromEnv(context.env, env) : fromFile(file, context);
}

/** Messages name neither variable nor file: people put the secret itself there by mistake. */
function fromEnv(env: Env, name: string): Text {
  return { text: env[name] ?? '', what: 'the environment variable' };
}

function fromFile(file: string, context: SecretContext): Text {
  const path = resolve(context.cwd, file);
  context.files.set(path, context.files.get(path) ?? fileState(path));
  try {
    const text = readRegularFile(path, MAX_BYTES);
    warnOfAccess(path, context);
    return { text: text.toString('utf8'), what: 'the secret file' };
  } catch (error) {
    return { problem: `the secret file ${(error as Error).message}` };
  }
}

function fromProgram(command: readonly string[], { cwd, programs: { printed, env } }: SecretContext): Text {
  const output = printed?.({ command, env, cwd });
  if (!output) return { problem: 'the program has not been run' };
  const program = `the program${output.name}`;
  if (output.problem !== undefined) return { problem: `${program} ${output.problem}` };
  if (output.text.trim() === '') return { problem: `${program} printed nothing: ${PRINT}` };
  return { text: output.text, what: `the output of ${program}` };
}

const PRINT = 'it must print the secret on standard output';

function warnOfShape(place: readonly PropertyKey[], { shape }: Read, { warnings }: SecretContext): void {
  if (shape !== undefined) warnings.push(`the secret of ${place.join('.')} ${shape}`);
}

/** Reads one secret that is not a key with an algorithm. */
export function readSecret(source: Source, context: SecretContext): Read {
  return asSecret(textOf(source, context));
}

/** Removes the newline that editors add and the byte order mark that Windows editors add. */
function asSecret(read: Text): Read {
  if (read.text === undefined) return read;
  const secret = read.text.replace(/^\uFEFF/, '').replace(/\r?\n$/, '');
  if (secret === '') return { problem: `${read.what} is empty or not set` };
  if (/[^\x20-\x7e]/.test(secret)) {
    const shape = shapeOf(secret);
    return {
      problem: `${read.what} contains line breaks or characters that are not ASCII${shape === undefined ? '' : `: it ${shape}`}`,
    };
  }
  return { value: new Secret(secret), shape: shapeOf(secret) };
}

function asKey(read: Text, alg: string | undefined): Read {
  if (read.text === undefined) return read;
  const value = new Secret(read.text.replace(/^\uFEFF/, ''));
  try {
    parsePrivateKey(value, alg);
    return { value };
  } catch (error) {
    return { problem: `${read.what} ${(error as Error).message}` };
  }
}
