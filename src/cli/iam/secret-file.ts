/**
 * The file that a new secret's value is kept in. It is on disk before anybody else knows the value, because nobody can
 * ever read it again from Aritma IAM, and it does not stay when the secret certainly was not created.
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
  /** Takes it back: what was there before is there again. */
  undo(): Promise<void>;
}

const EXCLUSIVE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | FLUSHED;

/**
 * Writes the value and a line break to a new file of mode 0600. With `force` an existing one is replaced and keeps its
 * mode and owner, which somebody has chosen for whoever reads it.
 * @throws SidecarError CONFIG_INVALID when it exists and may not be replaced, ROTATION_STORE_FAILED
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
      // Half a secret must neither pass for one nor be in the way of the next try.
      await rm(path, { force: true });
      throw error;
    } finally {
      await file.close();
    }
    await flush(dirname(path));
  } catch (error) {
    const errno = String((error as NodeJS.ErrnoException).code);
    if (errno === 'EEXIST')
      throw usageError('flag --out', 'names a file that exists; choose another, or replace it with --force');
    throw new SidecarError('ROTATION_STORE_FAILED', {
      cause: error,
      fields: { doing: 'create', file: path, errno },
      failure: writeFailure(errno, path),
    });
  }
}
