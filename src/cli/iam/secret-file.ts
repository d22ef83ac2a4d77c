/**
 * The file for the value of a new secret. It is on disk before Aritma IAM receives the value, because IAM never returns it,
 * and it is removed when the secret was certainly not created.
 */
import { constants } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { FLUSHED, flush } from '../../core/durable-fs.ts';
import { SidecarError } from '../../core/errors.ts';
import { writeFailure } from '../../core/file-errors.ts';
import type { Secret } from '../../core/secret.ts';
import { readText, replaceFile } from '../../iam/rotation/durable-file.ts';
import { usageError } from './flags.ts';

export interface KeptSecret {
  /** Restores the previous state: the old content, or no file. */
  undo(): Promise<void>;
}

const EXCLUSIVE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | FLUSHED;

/**
 * Writes the value and a line break to a new file of mode 0600. With `force`, replaces an existing file and keeps its mode and
 * owner, so that its readers can still read it.
 * @throws SidecarError CONFIG_INVALID when the file exists and `force` is not set, ROTATION_STORE_FAILED
 */
export async function keepSecret(file: string, value: Secret, force: boolean): Promise<KeptSecret> {
  const path = resolve(file);
  const content = `${value.reveal()}\n`;
  const before = force ? await readText(path) : undefined;
  if (before !== undefined) {
    await replaceFile(path, content);
    return { undo: () => replaceFile(path, before) };
  }
  await createFile(path, content);
  return { undo: () => rm(path, { force: true }) };
}

async function createFile(path: string, content: string): Promise<void> {
  try {
    const file = await open(path, EXCLUSIVE, 0o600);
    try {
      await file.writeFile(content);
      await flush(file);
    } catch (error) {
      // Half a secret must not be taken for a whole one, nor block the next try.
      await rm(path, { force: true });
      throw error;
    } finally {
      await file.close();
    }
    await flush(dirname(path));
  } catch (error) {
    const errno = String((error as NodeJS.ErrnoException).code);
    if (errno === 'EEXIST')
      throw usageError('flag --out', 'names an existing file; choose another name, or replace the file with --force');
    throw new SidecarError('ROTATION_STORE_FAILED', {
      cause: error,
      fields: { doing: 'create', file: path, errno },
      failure: writeFailure(errno, path),
    });
  }
}
