/**
 * Files that survive a power cut: after a write either the old content is there or the new one, whole, and once the
 * promise resolves it is the new one. Keeps the mode and owner a file has, and follows symbolic links to the file they mean.
 */
import { constants } from 'node:fs';
import { chmod, chown, type FileHandle, open, readFile, readlink, realpath, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { FLUSHED, flush, renameWithRetry } from '../../core/durable-fs.ts';
import { SidecarError } from '../../core/errors.ts';
import { writeFailure } from '../../core/file-errors.ts';

/** For its owner's eyes only. */
const PRIVATE = 0o600;

/** The content, or undefined when there is no such file. @throws SidecarError ROTATION_STORE_FAILED */
export async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw storeFailed('read', path, error);
  }
}

/**
 * Replaces a file's content. A new file gets mode 0600 and the owner of `like`. One writer at a time: the temporary file
 * beside it has one name, so that one left behind by a crash, which may hold a secret, is replaced and not forgotten.
 * @throws SidecarError ROTATION_STORE_FAILED
 */
export async function replaceFile(path: string, text: string, like = path): Promise<void> {
  try {
    const { target, temporary } = await pathsOf(path);
    const file = await createBeside({ target, temporary, like });
    try {
      await file.writeFile(text);
      await flush(file);
    } finally {
      await file.close();
    }
    await renameWithRetry(temporary, target);
    await flush(dirname(target));
  } catch (error) {
    throw storeFailed('replace', path, error);
  }
}

/**
 * Finds out whether `replaceFile` could do its work, before anything depends on it, and removes what a crash in the middle
 * of it left behind. @throws SidecarError ROTATION_STORE_FAILED
 */
export async function prepareReplace(path: string): Promise<void> {
  try {
    const { target, temporary } = await pathsOf(path);
    try {
      await (await createBeside({ target, temporary, like: path })).close();
    } finally {
      await rm(temporary, { force: true });
    }
  } catch (error) {
    throw storeFailed('replace', path, error);
  }
}

interface Places {
  /** What a symbolic link means. */
  readonly target: string;
  readonly temporary: string;
}

async function pathsOf(path: string): Promise<Places> {
  const target = await targetOf(path);
  return { target, temporary: join(dirname(target), `.${basename(target)}.aritma-new`) };
}

/** Also of a link whose file is not there: a volume that is not mounted must not be replaced by a file of our own. */
async function targetOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ELOOP') throw error;
    const link = await readlink(path).catch(() => undefined);
    return link === undefined ? path : targetOf(resolve(dirname(path), link));
  }
}

/** Empty, with mode and owner as they shall be: nobody may read the new content who could not read the old. */
async function createBeside({ target, temporary, like }: Places & { readonly like: string }): Promise<FileHandle> {
  await rm(temporary, { force: true });
  const file = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | FLUSHED, PRIVATE);
  if (process.platform === 'win32') return file;
  try {
    // By name and not by handle, which Node's permission model refuses; the name is this process's own since O_EXCL.
    const old = await stat(target).catch(() => undefined);
    const model = old ?? (await stat(like).catch(() => undefined));
    const own = await file.stat();
    if (model && (own.uid !== model.uid || own.gid !== model.gid)) await chown(temporary, model.uid, model.gid);
    if (old) await chmod(temporary, old.mode & 0o777);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

function storeFailed(doing: string, path: string, error: unknown): SidecarError {
  const errno = String((error as NodeJS.ErrnoException).code);
  return new SidecarError('ROTATION_STORE_FAILED', {
    cause: error,
    fields: { doing, file: path, errno },
    failure: writeFailure(errno, path),
  });
}
