/** What a build is of: version, time and origin. The same release and the same executables give the same packages, byte for byte. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');

export interface Release {
  /** Of package.json. */
  readonly version: string;
  /** Of the package, for the same version: 1, 2, … */
  readonly revision: number;
  /** Of every file, and in the texts. */
  readonly date: Date;
  /** `Name <address>`. */
  readonly maintainer: string;
  readonly homepage: string | undefined;
}

/** SOURCE_DATE_EPOCH, or the time of the last commit. @throws Error where there is neither */
export function releaseTime(): Date {
  // biome-ignore lint/style/noProcessEnv: the standard way to give a build its time, reproducible-builds.org
  const seconds = Number(process.env['SOURCE_DATE_EPOCH'] || lastCommit());
  if (!Number.isSafeInteger(seconds)) throw new Error('SOURCE_DATE_EPOCH must be a number of seconds since 1970');
  return new Date(seconds * 1000);
}

function lastCommit(): string {
  try {
    return execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' }).trim();
  } catch {
    throw new Error('not a git checkout: set SOURCE_DATE_EPOCH to the time that all files get, in seconds since 1970');
  }
}

export function manifestOf(): { readonly version: string; readonly description: string } {
  return JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string; description: string };
}

/** `1.1.0-rc.1` comes before `1.1.0`, which both package managers only know of with a tilde. */
export function packageVersion({ version }: Release): string {
  return version.replace('-', '~');
}
