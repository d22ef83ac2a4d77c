/**
 * Reads client secrets from where the configuration says they are. A secret leaves this file as a `Secret` or not at
 * all: no message holds any part of one.
 */
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { Secret } from '../secret.ts';
import type { Report, ValidParts } from './rules.ts';

export interface LoadedSecret {
  /** Position in `secrets`, from 1: the bounded name used in metrics. */
  readonly name: string;
  readonly value: Secret;
}

type Env = Readonly<Record<string, string | undefined>>;

export interface SecretContext {
  readonly env: Env;
  /** Relative file names start here. */
  readonly cwd: string;
  readonly report: Report;
  /** Added to. */
  readonly warnings: string[];
}

/** By credential name, in the order they are tried. */
export function loadSecrets(
  credentials: ValidParts['credentials'],
  context: SecretContext,
): Map<string, LoadedSecret[]> {
  const secrets = new Map<string, LoadedSecret[]>();
  for (const [credential, { secrets: sources }] of credentials) {
    const loaded: LoadedSecret[] = [];
    sources.forEach((source, index) => {
      const path = ['credentials', credential, 'secrets', index];
      const read = source.file === undefined ? fromEnv(context.env, source.env ?? '') : fromFile(source.file, context);
      if (read.text !== undefined) loaded.push({ name: String(index + 1), value: new Secret(read.text) });
      else context.report(path, read.problem);
    });
    secrets.set(credential, loaded);
  }
  return secrets;
}

type Read = { text: string; problem?: never } | { text?: never; problem: string };

/** No message names the variable or the file: in a hurry, people put the secret itself there. */
function fromEnv(env: Env, name: string): Read {
  return usable(env[name] ?? '', 'the environment variable');
}

function fromFile(file: string, { cwd, warnings }: SecretContext): Read {
  const path = resolve(cwd, file);
  try {
    const { mode } = statSync(path);
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      warnings.push(`secret file ${path} can be read by others (mode ${(mode & 0o777).toString(8)}); chmod 600 it`);
    }
    return usable(readFileSync(path, 'utf8'), 'the secret file');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return { problem: `the secret file cannot be read (${code}); check path and permissions` };
  }
}

/** Editors add a newline, Windows ones a byte order mark; neither belongs to the secret. */
function usable(text: string, what: string): Read {
  const secret = text.replace(/^\uFEFF/, '').replace(/\r?\n$/, '');
  if (secret === '') return { problem: `${what} is empty or not set` };
  if (/[^\x20-\x7e]/.test(secret)) return { problem: `${what} holds line breaks or characters that are not ASCII` };
  return { text: secret };
}
