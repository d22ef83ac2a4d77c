/**
 * A secret in a file, its journal in another beside it, and a lock. With `run` the new secret is not written but handed
 * to a program of the operator's, which puts it where it belongs.
 */
import { Secret } from '../../core/secret.ts';
import { prepareReplace, readText, replaceFile } from './durable-file.ts';
import { acquireLock } from './lock-file.ts';
import type { OpenStore, SecretStore } from './store.ts';

export interface FileStoreOptions {
  readonly journal: string;
  /** Reads the secret that is in use; undefined when there is none. */
  readonly read: () => Promise<Secret | undefined>;
  readonly write: (value: Secret) => Promise<void>;
  readonly name: string;
  /** Files that `write` replaces: what a crash leaves beside them is removed, and they must be replaceable at all. */
  readonly written: readonly string[];
}

/** @param path of the file that holds the secret @param journal by default its name and `.rotation` */
export function createFileStore(path: string, journal = `${path}.rotation`): SecretStore {
  return createJournaledStore({
    name: `file ${path}`,
    journal,
    written: [path],
    read: async () => asSecret(await readText(path)),
    // Programs that read the file with `cat` and people who open it expect a line.
    write: (value) => replaceFile(path, `${value.reveal()}\n`),
  });
}

/** Any place for the secret, with journal and lock in files. */
export function createJournaledStore({ name, journal, read, write, written }: FileStoreOptions): SecretStore {
  return {
    name,
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
        // Whoever may read the secret goes on with what somebody else, root perhaps, has begun.
        writeJournal: (text) => held(() => replaceFile(journal, text, written[0])),
        close: () => lock.release().catch(() => undefined),
      };
    },
  };
}

/** As the configuration reads it: one line break at the end and a byte order mark do not count. */
export function asSecret(text: string | undefined): Secret | undefined {
  const value = text?.replace(/^\uFEFF/, '').replace(/\r?\n$/, '');
  return value === undefined || value === '' ? undefined : new Secret(value);
}
