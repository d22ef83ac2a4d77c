/** A folder of one test with real files, and the result of loading a configuration from there. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LoadedConfig, loadConfig } from '../../src/config/load.ts';
import type { Problem } from '../../src/config/problems.ts';
import { SidecarError } from '../../src/core/errors.ts';

export interface Folder extends Disposable {
  readonly path: string;
  /** Writes a file (default mode 0600) and returns its absolute path. */
  write(name: string, content: string | Uint8Array, mode?: number): string;
}

export function createFolder(): Folder {
  const path = mkdtempSync(join(tmpdir(), 'aritma-sidecar-'));
  return {
    path,
    write(name, content, mode = 0o600) {
      const file = join(path, name);
      writeFileSync(file, content);
      // Separately, because the umask removes bits from the mode at creation.
      chmodSync(file, mode);
      return file;
    },
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}

export interface Inputs {
  readonly yaml?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly flags?: Readonly<Record<string, string>>;
}

/** Loads `config.yaml` of the folder (if `yaml` is given) without this process's environment. */
export function load(folder: Folder, { yaml, env = {}, flags = {} }: Inputs): LoadedConfig {
  const file = yaml === undefined ? undefined : folder.write('config.yaml', yaml);
  return loadConfig({ env, flags, file, cwd: folder.path });
}

/** Returns the problems of a configuration; fails when there are none. `where` is shortened to the file name. */
export function problemsOf(folder: Folder, inputs: Inputs): readonly Problem[] {
  try {
    load(folder, inputs);
  } catch (error) {
    if (!(error instanceof SidecarError) || error.code !== 'CONFIG_INVALID') throw error;
    return (error.extras.problems ?? []).map((problem) => ({
      ...problem,
      where: problem.where.replace(`${folder.path}/`, ''),
    }));
  }
  throw new Error('the configuration was accepted');
}

/** The smallest valid configuration, by environment alone. */
export const COMPLETE_ENV: Readonly<Record<string, string>> = {
  ARITMA_ENVIRONMENT: 'emulator',
  ARITMA_CLIENT_ID: 'my-erp',
  ARITMA_CLIENT_SECRET: 'secret-by-environment',
};

/** The secrets of the default credential, in order. */
export function revealed({ secrets }: LoadedConfig): string[] {
  return (secrets.get('default') ?? []).map(({ value }) => value.reveal());
}
