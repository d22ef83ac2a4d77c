// Keeps clients, policies and the signing key for the next run, in one file. Hides its format. Promises that the file
// is always complete, that only its owner can read it, and that a file which is not ours is never overwritten.
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import type { Contents } from './store.ts';
import type { KeptSigning } from './tokens.ts';

const TEXT = z.string();
const TEXTS = z.array(TEXT);

const STATE_SCHEMA = z.strictObject({
  version: z.literal(1),
  signing: z.strictObject({
    key: z.record(TEXT, TEXT),
    kid: TEXT,
    batch: TEXT,
  }),
  clients: z.array(
    z.strictObject({
      client: z.strictObject({
        clientId: TEXT.min(1),
        name: TEXT,
        description: TEXT,
        allowedGrantTypes: TEXTS,
        allowedScopes: TEXTS,
        redirectUris: TEXTS,
        enabled: z.boolean().optional(),
        tokenLifetimeS: z.number().optional(),
      }),
      secrets: z.array(
        z.strictObject({
          clientSecretId: TEXT,
          description: TEXT,
          digest: TEXT.regex(/^[A-Za-z0-9+/]{43}=$/, 'must be the SHA-256 of a secret'),
          expiration: z.iso.datetime().nullable(),
          created: z.iso.datetime(),
        }),
      ),
    }),
  ),
  policies: z.array(z.strictObject({ subject: TEXT, scope: TEXT, action: TEXT })),
});

export interface State extends Contents {
  readonly signing: KeptSigning;
}

/** A state file that cannot be used; the message has its name and the reason. */
export class StateFileError extends Error {
  override readonly name = 'StateFileError';
}

export interface StateWriter {
  /** Call after a change: writes soon, once for all changes until then. Warns on stderr if that fails. */
  changed(): void;
  /** Resolves when everything is written. @throws StateFileError if the last write failed. */
  close(): Promise<void>;
}

/** Shortest time between two writes, so that a thousand changes in a row need only a few. */
const QUIET_MS = 50;

/** Reads the state of an earlier run; undefined if the file does not exist. @throws StateFileError */
export async function loadState(file: string): Promise<State | undefined> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw new StateFileError(`${file} cannot be read (${error.code})`, { cause: error });
  });
  if (text === undefined) return undefined;
  const result = STATE_SCHEMA.safeParse(parseJson(text));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = issue?.path.join('.') || 'the whole file';
  throw new StateFileError(
    `${file} is not a state file of this emulator (${where}: ${issue?.message}); it was not changed`,
  );
}

/** Writes the state now and after each change. @throws StateFileError if it cannot be written now. */
export async function openStateWriter(file: string, read: () => State): Promise<StateWriter> {
  let isDirty = false;
  let failure: StateFileError | undefined;
  let writing: Promise<void> | undefined;
  const closing = new AbortController();

  async function write(): Promise<void> {
    while (isDirty) {
      isDirty = false;
      failure = await replaceFile(file, read()).then(
        () => undefined,
        (error: StateFileError) => error,
      );
      if (failure) process.emitWarning(failure);
      // close() ends the pause, to write the rest now.
      await delay(QUIET_MS, undefined, { signal: closing.signal }).catch(() => undefined);
    }
    writing = undefined;
  }

  await replaceFile(file, read());
  return {
    changed() {
      isDirty = true;
      writing ??= write();
    },
    async close() {
      closing.abort();
      await writing;
      if (failure) throw failure;
    },
  };
}

/**
 * Writes a second file and renames it: a process killed in between leaves the old file or the new one, never half of
 * one.
 */
async function replaceFile(file: string, state: State): Promise<void> {
  const temporary = `${file}.tmp`;
  try {
    await rm(temporary, { force: true });
    await writeFile(temporary, JSON.stringify({ version: 1, ...state }), { mode: 0o600, flag: 'wx', flush: true });
    await rename(temporary, file);
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException;
    throw new StateFileError(`${file} cannot be written (${code})`, { cause: error });
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
