/** `node:fs/promises` on the simulated disk: each operation takes a moment, and a kill can come before or after it. */
// biome-ignore lint/performance/noBarrelFile: it takes the place of a module of Node
export * from 'node:fs/promises';

import * as real from 'node:fs/promises';
import { diskError } from '../disk.ts';
import { diskOfSelf, isOnDisk, OpenFile, statOf } from '../files.ts';
import { platform, self } from '../platform.ts';

/** Until an operation happens, and then until its process knows. */
const LONGEST_MS = 0.5;

function later<Result>(work: () => Result): Promise<Result> {
  const { time, random, disk } = platform();
  const owner = self();
  return new Promise((resolve, reject) => {
    time.after(random.next() * (LONGEST_MS + disk.slowMs), owner, () => {
      let settle: () => void;
      try {
        const result = work();
        settle = () => resolve(result);
      } catch (error) {
        settle = () => reject(error as Error);
      }
      time.after(random.next() * LONGEST_MS, owner, () => settle());
    });
  });
}

class Handle {
  readonly #file: OpenFile;

  constructor(file: OpenFile) {
    this.#file = file;
  }

  stat(options?: { bigint?: boolean }) {
    return later(() => statOf(this.#file.inode, options));
  }

  read(...args: Parameters<OpenFile['read']>) {
    return later(() => ({ bytesRead: this.#file.read(...args), buffer: args[0] }));
  }

  write(bytes: Uint8Array, offset = 0, length = bytes.length - offset, position: number | null = null) {
    return later(() => ({
      bytesWritten: this.#file.write(bytes.subarray(offset, offset + length), position),
      buffer: bytes,
    }));
  }

  appendFile(bytes: Uint8Array | string) {
    return this.writeFile(bytes);
  }

  writeFile(bytes: Uint8Array | string) {
    return later(() => {
      const content = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
      // A full disk takes a part first.
      for (let written = 0; written < content.length; ) written += this.#file.write(content.subarray(written));
    });
  }

  readFile(encoding?: BufferEncoding) {
    return later(() => textOrBytes(Buffer.from(this.#file.inode.content), encoding));
  }

  truncate(length?: number) {
    return later(() => this.#file.truncate(length));
  }

  sync() {
    return later(() => this.#file.flush());
  }

  datasync() {
    return this.sync();
  }

  close() {
    return later(() => undefined);
  }

  [Symbol.asyncDispose]() {
    return this.close();
  }
}

function textOrBytes(bytes: Buffer, encoding: BufferEncoding | undefined): Buffer | string {
  return encoding === undefined ? bytes : bytes.toString(encoding);
}

export function open(path: string, flags?: string | number, mode?: number): Promise<unknown> {
  return isOnDisk(path) ? later(() => new Handle(new OpenFile(path, flags, mode))) : real.open(path, flags, mode);
}

export function stat(path: string, options?: { bigint?: boolean }): Promise<unknown> {
  return isOnDisk(path) ? later(() => statOf(diskOfSelf().find(path), options)) : real.stat(path, options);
}

export { stat as lstat };

export function rename(from: string, to: string): Promise<void> {
  return isOnDisk(from) ? later(() => diskOfSelf().rename(from, to)) : real.rename(from, to);
}

export function unlink(path: string): Promise<void> {
  return isOnDisk(path) ? later(() => diskOfSelf().remove(path)) : real.unlink(path);
}

export function readFile(path: string, encoding?: BufferEncoding): Promise<string | Buffer> {
  if (!isOnDisk(path)) return real.readFile(path, encoding ?? null);
  return later(() => textOrBytes(Buffer.from(diskOfSelf().find(path, 'open').content), encoding));
}

export function link(from: string, to: string): Promise<void> {
  return isOnDisk(from) ? later(() => diskOfSelf().link(from, to)) : real.link(from, to);
}

export function utimes(path: string, _accessed: Date, modified: Date): Promise<void> {
  return later(() => diskOfSelf().setTime(path, modified.getTime()));
}

export function chmod(path: string, mode: number): Promise<void> {
  return later(() => diskOfSelf().setMode(path, mode));
}

export function rm(path: string, { force = false } = {}): Promise<void> {
  return later(() => {
    if (!force || diskOfSelf().has(path)) diskOfSelf().remove(path);
  });
}

export function realpath(path: string): Promise<string> {
  return isOnDisk(path) ? later(() => diskOfSelf().find(path, 'realpath') && path) : real.realpath(path);
}

export function readlink(path: string): Promise<string> {
  return later(() => {
    throw diskError('EINVAL', 'readlink', path);
  });
}

export function readdir(path: string): Promise<string[]> {
  return isOnDisk(path) ? later(() => diskOfSelf().list(path)) : real.readdir(path);
}

export function access(path: string, mode?: number): Promise<void> {
  return isOnDisk(path) ? later(() => void diskOfSelf().find(path, 'access')) : real.access(path, mode);
}
