/**
 * Reads client secrets and keys from where the configuration says they are. A secret leaves this file as a
 * `Secret` or not at all: no message holds any part of one.
 */
import { resolve } from 'node:path';
import { parsePrivateKey } from '../core/private-key.ts';
import { Secret } from '../core/secret.ts';
import { accessDoubts, readRegularFile } from './regular-file.ts';
import type { Report, ValidParts } from './rules.ts';
import { shapeOf } from './secret-shape.ts';

export interface LoadedSecret {
  /** Position in `secrets`, from 1: the bounded name used in metrics. */
  readonly name: string;
  readonly value: Secret;
  /** Both for private_key_jwt. */
  readonly kid: string | undefined;
  readonly alg: string | undefined;
}

type Env = Readonly<Record<string, string | undefined>>;

export interface SecretContext {
  readonly env: Env;
  /** Relative file names start here. */
  readonly cwd: string;
  readonly report: Report;
  /** This one by default. */
  readonly platform?: NodeJS.Platform;
  /** Added to. */
  readonly warnings: string[];
  /** Added to: every file that was asked for, whether it could be read or not. */
  readonly files: string[];
}

/** By credential name, in the order they are tried. */
export function loadSecrets(
  credentials: ValidParts['credentials'],
  context: SecretContext,
): Map<string, LoadedSecret[]> {
  const secrets = new Map<string, LoadedSecret[]>();
  for (const [credential, { secrets: sources, auth }] of credentials) {
    const loaded: LoadedSecret[] = [];
    sources.forEach(({ file, env = '', kid, alg }, index) => {
      const text = file === undefined ? fromEnv(context.env, env) : fromFile(file, context);
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

/** Shorter ones could be guessed, at the speed of loopback. */
const MIN_KEY_CHARS = 16;

/** By caller name. Keys are for telling callers apart, so no two callers may share one. */
export function loadCallerKeys(callers: ValidParts['callers'], context: SecretContext): Map<string, Secret[]> {
  const owners = new Map<string, string>();
  const keys = new Map<string, Secret[]>();
  for (const [caller, { secrets: sources }] of Object.entries(callers?.keys ?? {})) {
    const loaded: Secret[] = [];
    sources.forEach(({ file, env = '' }, index) => {
      const place = ['callers', 'keys', caller, index];
      const report = (problem: string) => context.report(place, problem);
      const read = asSecret(file === undefined ? fromEnv(context.env, env) : fromFile(file, context));
      const { value, problem } = read;
      warnOfShape(place, read, context);
      if (!value) {
        report(problem);
        return;
      }
      const fingerprint = value.fingerprint();
      const owner = owners.get(fingerprint) ?? caller;
      if (value.length < MIN_KEY_CHARS)
        report(`must be at least ${MIN_KEY_CHARS} characters, as \`openssl rand -hex 32\` makes them`);
      else if (owner !== caller) report(`is the same key as one of ${owner}`);
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
type Read =
  | { readonly value: Secret; readonly shape?: string | undefined; problem?: never }
  | { readonly problem: string; value?: never; shape?: never };

/** Far more than a secret or a key in PEM has. */
const MAX_BYTES = 64 * 1024;

/** No message names the variable or the file: in a hurry, people put the secret itself there. */
function fromEnv(env: Env, name: string): Text {
  return { text: env[name] ?? '', what: 'the environment variable' };
}

function fromFile(file: string, context: SecretContext): Text {
  const path = resolve(context.cwd, file);
  context.files.push(path);
  try {
    const text = readRegularFile(path, MAX_BYTES);
    warnOfAccess(path, context);
    return { text: text.toString('utf8'), what: 'the secret file' };
  } catch (error) {
    return { problem: `the secret file ${(error as Error).message}` };
  }
}

/** Adds a warning for everybody else who can read or replace a file with a secret. */
export function warnOfAccess(path: string, { env, warnings, platform = process.platform }: SecretContext): void {
  // In a pod the containers that mount a Secret can read it, whatever the mode, which has to let in a user that is not root.
  const modeCounts = platform !== 'win32' && env['KUBERNETES_SERVICE_HOST'] === undefined;
  for (const { message, fix } of accessDoubts(path, modeCounts)) warnings.push(`secret file ${message}; ${fix}`);
}

function warnOfShape(place: readonly PropertyKey[], { shape }: Read, { warnings }: SecretContext): void {
  if (shape !== undefined) warnings.push(`the secret of ${place.join('.')} ${shape}`);
}

/** Editors add a newline, Windows ones a byte order mark; neither belongs to the secret. */
function asSecret(read: Text): Read {
  if (read.text === undefined) return read;
  const secret = read.text.replace(/^\uFEFF/, '').replace(/\r?\n$/, '');
  if (secret === '') return { problem: `${read.what} is empty or not set` };
  if (/[^\x20-\x7e]/.test(secret)) {
    const shape = shapeOf(secret);
    return {
      problem: `${read.what} holds line breaks or characters that are not ASCII${shape === undefined ? '' : `: it ${shape}`}`,
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
