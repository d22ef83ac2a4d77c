/**
 * Reads the files of a configuration: only regular files, up to a size limit. A pipe could hang the process, a device
 * could never end. Follows symbolic links, which Kubernetes and systemd use to provide files.
 */
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, type Stats, statSync } from 'node:fs';

/** Why a file cannot be used; the message follows the file name. `code` is the system's. */
class Unreadable extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Files by path, each with its state before it was read. */
export type FileStates = Map<string, string>;

const FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0);

/** Returns what changes when a file is replaced, written or given other rights; the error code of its stat if it cannot be seen. */
export function fileState(path: string): string {
  try {
    const { ino, size, mtimeNs, ctimeNs, mode } = statSync(path, { bigint: true });
    return [ino, size, mtimeNs, ctimeNs, mode].join(' ');
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}

/**
 * Reads a whole file. Never blocks on a pipe, socket or device.
 * @throws Error with `code` and a message that says why and what to do, without the path
 */
export function readRegularFile(path: string, maxBytes: number): Buffer {
  let file: number | undefined;
  try {
    // Checked before opening: opening a device can have effects.
    refuseOthers(statSync(path));
    file = openSync(path, FLAGS);
    const stats = fstatSync(file);
    refuseOthers(stats);
    const content = new Content(stats.size, maxBytes);
    while (content.add(readSync(file, content.free, 0, content.free.length, null)));
    return content.whole;
  } catch (error) {
    if (error instanceof Unreadable) throw error;
    throw unreadable(path, String((error as NodeJS.ErrnoException).code));
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/**
 * Like `readRegularFile`, but other work goes on meanwhile: for files that are read while callers wait.
 * @throws as `readRegularFile`, as a rejection
 */
export async function readRegularFileAsync(path: string, maxBytes: number): Promise<Buffer> {
  // Loaded on first use: few configurations have such a file.
  const { open, stat } = await import('node:fs/promises');
  try {
    refuseOthers(await stat(path));
    await using file = await open(path, FLAGS);
    const stats = await file.stat();
    refuseOthers(stats);
    const content = new Content(stats.size, maxBytes);
    while (content.add((await file.read(content.free, 0, content.free.length, null)).bytesRead));
    return content.whole;
  } catch (error) {
    if (error instanceof Unreadable) throw error;
    throw unreadable(path, String((error as NodeJS.ErrnoException).code));
  }
}

function unreadable(path: string, code: string): Unreadable {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is these that are looked for
  const isEscaped = /[\x07-\x0d\x1b]/.test(path) && !path.includes('-----');
  if (isEscaped) {
    const why = 'in double quotes, YAML reads \\t and \\n in a path as tab and line break; use single quotes';
    return new Unreadable(code, `cannot be read (${code}): ${why}`);
  }
  // A dangling link looks like a file in a folder listing.
  const isDangling = code === 'ENOENT' && lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink();
  if (isDangling) return new Unreadable(code, `is a symbolic link to a missing file (${code})`);
  return new Unreadable(code, `cannot be read (${code}); check path and permissions`);
}

function refuseOthers(stats: Stats): void {
  if (stats.isFile()) return;
  if (stats.isDirectory()) throw new Unreadable('EISDIR', 'cannot be read (EISDIR); check path and permissions');
  const what = stats.isFIFO() ? 'a pipe' : stats.isSocket() ? 'a socket' : 'a device';
  throw new Unreadable(
    'ENOTREG',
    `is ${what}, not a regular file: reading it could block forever. Write the content to a file`,
  );
}

/** The least memory for what is more than the size of a file said: files of the kernel have size 0. */
const LEAST_MORE = 1024;

/** What is read of a file to its end. It takes as much memory as the file has bytes, and never more than the limit. */
class Content {
  readonly #maxBytes: number;
  #bytes: Buffer;
  #length = 0;

  /** @param size what the system says; the file may have become longer or shorter */
  constructor(size: number, maxBytes: number) {
    this.#maxBytes = maxBytes;
    // One more than there should be: by it, the next read sees the end, or that there is more.
    this.#bytes = Buffer.allocUnsafe(Math.min(size, maxBytes) + 1);
  }

  /** Where the next bytes go; never empty. */
  get free(): Buffer {
    return this.#bytes.subarray(this.#length);
  }

  /** @returns false at the end of the file @throws Unreadable when it is longer than the limit */
  add(bytesRead: number): boolean {
    this.#length += bytesRead;
    if (this.#length > this.#maxBytes) throw tooLarge(this.#maxBytes);
    if (this.#length === this.#bytes.length) this.#grow();
    return bytesRead > 0;
  }

  get whole(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  #grow(): void {
    const larger = Math.max(LEAST_MORE, 2 * this.#bytes.length);
    const bytes = Buffer.allocUnsafe(Math.min(larger, this.#maxBytes + 1));
    this.#bytes.copy(bytes);
    this.#bytes = bytes;
  }
}

function tooLarge(maxBytes: number): Unreadable {
  return new Unreadable('EFBIG', `is larger than ${maxBytes / 1024} KiB; is it the right file?`);
}
