/**
 * Finds settings that nothing reads: a variable with a mistyped name, a configuration file with another extension. They
 * do not prevent the start, but the option that is missing because of them may.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { closest } from '../core/closest.ts';
import { INPUTS } from './env-and-flags.ts';
import { type ConfigFile, DEFAULT_FILE } from './file.ts';
import type { Doc } from './layers.ts';
import type { Problem } from './problems.ts';

const PREFIX = 'ARITMA_';
const KNOWN = ['ARITMA_CONFIG', ...INPUTS.map(({ env }) => env)];
/** Set by Kubernetes in every pod for a Service named `aritma-…`, and by Docker for a link. */
const OF_A_SERVICE = /_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP).*)?|NAME|ENV_.*)$/;
const OTHER_ENDINGS = ['.yml', '.json'] as const;

export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly file: ConfigFile;
  /** The merged document; variables that it names are in use. */
  readonly doc: Doc;
}

/** Returns a problem for each, with what to write instead; never a value. */
export function overlooked({ env, cwd, file, doc }: Surroundings): Problem[] {
  const named = variablesIn(doc);
  const unknown = Object.keys(env).filter(
    (name) => name.startsWith(PREFIX) && !KNOWN.includes(name) && !named.has(name) && !OF_A_SERVICE.test(name),
  );
  return [...unknown.filter((name) => env[name]).map(ofVariable), ...(file.path === undefined ? otherFiles(cwd) : [])];
}

function ofVariable(name: string): Problem {
  const near = closest(name, KNOWN);
  const meant = near === undefined ? '`aritma-sidecar config env` lists all variables' : `did you mean ${near}?`;
  return {
    where: `environment variable ${name.slice(0, 64)}`,
    path: '',
    message: `is unknown and has no effect; ${meant}`,
  };
}

/** Returns the variables that hold secrets: every `env: NAME` of a secret or key. */
export function variablesIn(value: unknown): Set<string> {
  if (typeof value !== 'object' || value === null) return new Set();
  const own = 'env' in value && typeof value.env === 'string' ? [value.env] : [];
  return new Set([...own, ...Object.values(value).flatMap((inner) => [...variablesIn(inner)])]);
}

function otherFiles(cwd: string): Problem[] {
  const names = OTHER_ENDINGS.map((ending) => DEFAULT_FILE.replace('.yaml', ending));
  return names
    .filter((name) => isThere(resolve(cwd, name)))
    .map((name) => ({
      where: name,
      path: '',
      message: `is not read; rename it to ${DEFAULT_FILE}, or start with --config ${name}`,
    }));
}

function isThere(path: string): boolean {
  try {
    return existsSync(path);
  } catch {
    // Node's permission model refuses the check.
    return false;
  }
}
