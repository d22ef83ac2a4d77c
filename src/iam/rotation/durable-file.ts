/**
 * Writes files that survive a power cut: the file has either the whole old content or the whole new one, and the new
 * one once the promise resolves. Keeps a file's mode and owner, and follows symbolic links.
 */
import { constants } from 'node:fs';
import { chmod, chown, type FileHandle, open, readFile, readlink, realpath, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { FLUSHED, flush, renameWithRetry } from '../../core/durable-fs.ts';
import { SidecarError } from '../../core/errors.ts';
import { writeFailure } from '../../core/file-errors.ts';

/** Only the owner may read and write. */
const PRIVATE = 0o600;

/** Returns the content; undefined when the file does not exist. @throws SidecarError ROTATION_STORE_FAILED */
export async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw storeFailed('read', path, error);
  }
}

/**
 * Replaces a file's content. A new file gets mode 0600 and the owner of `like`. One writer at a time: the temporary
 * file next to it has a fixed name, so that the next write replaces one that a crash left behind, which may hold a
 * secret.
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
 * Checks in advance that `replaceFile` can work, and removes what an interrupted one left behind.
 * @throws SidecarError ROTATION_STORE_FAILED
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
  /** The file behind symbolic links. */
  readonly target: string;
  readonly temporary: string;
}

async function pathsOf(path: string): Promise<Places> {
  const target = await targetOf(path);
  return { target, temporary: join(dirname(target), `.${basename(target)}.aritma-new`) };
}

/** Also follows a link to a missing file: a file of our own must not replace a link into an unmounted volume. */
async function targetOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ELOOP') throw error;
    const link = await readlink(path).catch(() => undefined);
    return link === undefined ? path : targetOf(resolve(dirname(path), link));
  }
}

/**
 * Creates it empty, with its final mode and owner: whoever could not read the old content must not read the new one.
 */
async function createBeside({ target, temporary, like }: Places & { readonly like: string }): Promise<FileHandle> {
  await rm(temporary, { force: true });
  const file = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | FLUSHED, PRIVATE);
  if (process.platform === 'win32') return file;
  try {
    // By name, because Node's permission model refuses fchown and fchmod; O_EXCL makes the name this process's own.
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
