/**
 * Files that survive a power cut: after a write either the old content is there or the new one, whole, and once the
 * promise resolves it is the new one. Keeps the mode and owner a file has, and follows symbolic links to the file they mean.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { SidecarError } from '../errors.ts';

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
 * Replaces a file's content. A new file gets mode 0600. One writer at a time: the temporary file beside it has one name,
 * so that one left behind by a crash, which may hold a secret, is replaced and not forgotten.
 * @throws SidecarError ROTATION_STORE_FAILED
 */
export async function replaceFile(path: string, text: string): Promise<void> {
  try {
    const target = await realpath(path).catch(() => path);
    const temporary = temporaryOf(target);
    await rm(temporary, { force: true });
    const file = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, PRIVATE);
    try {
      await keepOwner(file, target);
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, target);
    await syncFolder(dirname(target));
  } catch (error) {
    throw storeFailed('replace', path, error);
  }
}

/** Removes what a crash in the middle of `replaceFile` left behind. @throws SidecarError ROTATION_STORE_FAILED */
export async function removeLeftovers(path: string): Promise<void> {
  const target = await realpath(path).catch(() => path);
  await rm(temporaryOf(target), { force: true }).catch((error: unknown) => {
    throw storeFailed('clean up beside', path, error);
  });
}

const temporaryOf = (target: string) => join(dirname(target), `.${basename(target)}.aritma-new`);

/** Before anything is in it: nobody may read the new content who could not read the old. */
async function keepOwner(file: FileHandle, target: string): Promise<void> {
  const old = await stat(target).catch(() => undefined);
  if (!old || process.platform === 'win32') return;
  const own = await file.stat();
  if (own.uid !== old.uid || own.gid !== old.gid) await file.chown(old.uid, old.gid);
  await file.chmod(old.mode & 0o777);
}

/** A renamed file is only there for good when its folder is on disk. Windows knows no such thing. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function storeFailed(doing: string, path: string, error: unknown): SidecarError {
  const errno = String((error as NodeJS.ErrnoException).code);
  return new SidecarError('ROTATION_STORE_FAILED', { cause: error, fields: { doing, file: path, errno } });
}
