/**
 * Stores a secret in a file, its journal in a second file next to it, and a lock in a third. `createJournaledStore`
 * keeps only journal and lock in files and lets the caller write the secret.
 */
import { Secret } from '../../core/secret.ts';
import { prepareReplace, readText, replaceFile } from './durable-file.ts';
import { acquireLock } from './lock-file.ts';
import type { OpenStore, SecretStore } from './store.ts';

export interface FileStoreOptions {
  readonly journal: string;
  /** Reads the current secret; undefined when there is none. */
  readonly read: () => Promise<Secret | undefined>;
  readonly write: (value: Secret) => Promise<void>;
  readonly name: string;
  readonly isOwn: boolean;
  /** Files that `write` replaces. `open` checks that it can replace them and removes what a crash left next to them. */
  readonly written: readonly string[];
}

/**
 * Creates the store for a secret in a file.
 * @param path file that holds the secret
 * @param journal default: `path` plus `.rotation`
 * @example
 * const store = await createFileStore('/run/secrets/aritma').open();
 * try {
 *   await store.writeSecret(new Secret('new-value'));
 * } finally {
 *   await store.close();
 * }
 */
export function createFileStore(path: string, journal = `${path}.rotation`): SecretStore {
  return createJournaledStore({
    name: `file ${path}`,
    isOwn: true,
    journal,
    written: [path],
    read: async () => asSecret(await readText(path)),
    // Scripts that `cat` the file and people who open it expect a line.
    write: (value) => replaceFile(path, `${value.reveal()}\n`),
  });
}

/** Creates a store for a secret in any place, with journal and lock in files. */
export function createJournaledStore({ name, isOwn, journal, read, write, written }: FileStoreOptions): SecretStore {
  return {
    ...{ name, isOwn },
    peek: () => readText(journal),
    async open(): Promise<OpenStore> {
      const lock = await acquireLock(`${journal}.lock`);
      try {
        for (const file of [journal, ...written]) await prepareReplace(file);
      } catch (error) {
        await lock.release();
        throw error;
      }
      const held = async <T>(work: () => Promise<T>): Promise<T> => {
        await lock.confirm();
        return work();
      };
      return {
        readSecret: () => held(read),
        writeSecret: (value) => held(() => write(value)),
        readJournal: () => held(() => readText(journal)),
        // With the secret's owner: the sidecar's user must be able to continue what root has begun.
        writeJournal: (text) => held(() => replaceFile(journal, text, written[0])),
        close: () => lock.release().catch(() => undefined),
      };
    },
  };
}

/** Reads a secret like the configuration does: ignores a byte order mark and one line break at the end. */
export function asSecret(text: string | undefined): Secret | undefined {
  const value = text?.replace(/^\uFEFF/, '').replace(/\r?\n$/, '');
  return value === undefined || value === '' ? undefined : new Secret(value);
}
