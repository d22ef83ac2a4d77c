/**
 * What somebody has set up for the sidecar and nothing reads: a variable whose name is mistyped, a file whose name ends
 * differently. Each by itself is no reason not to start; what is missing because of it may be.
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
/** What Kubernetes sets in every pod for a Service named `aritma-…`, and Docker for a link. */
const OF_A_SERVICE = /_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP).*)?|NAME|ENV_.*)$/;
const OTHER_ENDINGS = ['.yml', '.json'] as const;

export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly file: ConfigFile;
  /** The merged document: variables that it names are read. */
  readonly doc: Doc;
}

/** For each of them what to write instead; never a value. */
export function overlooked({ env, cwd, file, doc }: Surroundings): Problem[] {
  const named = namedIn(doc);
  const unknown = Object.keys(env).filter(
    (name) => name.startsWith(PREFIX) && !KNOWN.includes(name) && !named.has(name) && !OF_A_SERVICE.test(name),
  );
  return [...unknown.filter((name) => env[name]).map(ofVariable), ...(file.path === undefined ? otherFiles(cwd) : [])];
}

function ofVariable(name: string): Problem {
  const near = closest(name, KNOWN);
  const meant = near === undefined ? '`aritma-sidecar config env` lists those there are' : `did you mean ${near}?`;
  return {
    where: `environment variable ${name.slice(0, 64)}`,
    path: '',
    message: `is unknown and has no effect; ${meant}`,
  };
}

/** Every `env: NAME` of a secret or key. */
function namedIn(value: unknown): Set<string> {
  if (typeof value !== 'object' || value === null) return new Set();
  const own = 'env' in value && typeof value.env === 'string' ? [value.env] : [];
  return new Set([...own, ...Object.values(value).flatMap((inner) => [...namedIn(inner)])]);
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
    // Node's permission model lets nobody ask.
    return false;
  }
}
