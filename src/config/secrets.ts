/**
 * Reads client secrets from where the configuration says they are. A secret leaves this file as a `Secret` or not at
 * all: no message holds any part of one.
 */
import { readFileSync, statSync } from 'node:fs';
import { Secret } from '../secret.ts';
import type { Problem } from './problems.ts';
import type { Config } from './schema.ts';

export interface LoadedSecret {
  /** Position in `secrets`, from 1: the bounded name used in metrics. */
  readonly name: string;
  readonly value: Secret;
}

type Env = Readonly<Record<string, string | undefined>>;

export interface SecretContext {
  readonly env: Env;
  readonly where: (path: readonly PropertyKey[]) => string;
  /** Both are added to. */
  readonly problems: Problem[];
  readonly warnings: string[];
}

/** By credential name, in the order they are tried. */
export function loadSecrets(config: Config, context: SecretContext): Map<string, LoadedSecret[]> {
  const secrets = new Map<string, LoadedSecret[]>();
  for (const [credential, { secrets: sources }] of Object.entries(config.credentials)) {
    const loaded: LoadedSecret[] = [];
    sources.forEach((source, index) => {
      const path = ['credentials', credential, 'secrets', index];
      const read =
        source.file === undefined ? fromEnv(context.env, source.env ?? '') : fromFile(source.file, context.warnings);
      if (read.text !== undefined) loaded.push({ name: String(index + 1), value: new Secret(read.text) });
      else context.problems.push({ where: context.where(path), path: path.join('.'), message: read.problem });
    });
    secrets.set(credential, loaded);
  }
  return secrets;
}

type Read = { text: string; problem?: never } | { text?: never; problem: string };

function fromEnv(env: Env, name: string): Read {
  return usable(env[name] ?? '', `environment variable ${name}`);
}

function fromFile(file: string, warnings: string[]): Read {
  try {
    const { mode } = statSync(file);
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      warnings.push(`secret file ${file} can be read by others (mode ${(mode & 0o777).toString(8)}); chmod 600 it`);
    }
    return usable(readFileSync(file, 'utf8'), `secret file ${file}`);
  } catch (error) {
    return {
      problem: `secret file ${file} cannot be read (${(error as NodeJS.ErrnoException).code}); check path and permissions`,
    };
  }
}

/** Editors add a newline, Windows ones a byte order mark; neither belongs to the secret. */
function usable(text: string, what: string): Read {
  const secret = text.replace(/^\uFEFF/, '').replace(/\r?\n$/, '');
  if (secret === '') return { problem: `${what} is empty or not set` };
  if (/[^\x20-\x7e]/.test(secret)) return { problem: `${what} holds line breaks or characters that are not ASCII` };
  return { text: secret };
}
