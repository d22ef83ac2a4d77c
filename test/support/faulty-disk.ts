/** A disk that fails where and as long as a test says; else the real one. */
import { type FileHandle, lstat, open, rename } from 'node:fs/promises';
import type { Disk } from '../../src/sidecar/audit/disk.ts';

/** Each with the system's code while it fails. */
export interface Faults {
  /** After ten bytes: a full disk takes part of a line. `nothing`: neither succeeds nor fails, as on a share that hangs. */
  write?: string | undefined;
  sync?: string | undefined;
  open?: string | undefined;
  rename?: string | undefined;
  /** Counts up from its start value. */
  syncs?: number;
}

export function faultyDisk(faults: Faults): Disk {
  const fail = (code: string | undefined) => {
    if (code !== undefined) throw Object.assign(new Error(code), { code });
  };
  return {
    lstat,
    async open(path, flags, mode) {
      fail(faults.open);
      return faulty(await open(path, flags, mode), faults, fail);
    },
    async rename(from, to) {
      fail(faults.rename);
      await rename(from, to);
    },
  };
}

function faulty(handle: FileHandle, faults: Faults, fail: (code: string | undefined) => void): FileHandle {
  const over = {
    async write(bytes: Buffer, offset: number, length: number, position: number) {
      if (faults.write === undefined) return await handle.write(bytes, offset, length, position);
      if (faults.write === 'nothing') {
        // Nothing closes it later, and Node reports an unclosed file as an error.
        await handle.close();
        return await new Promise<never>(() => undefined);
      }
      if (offset === 0) return await handle.write(bytes, 0, Math.min(10, length), position);
      return fail(faults.write);
    },
    async sync() {
      if (faults.syncs !== undefined) faults.syncs += 1;
      fail(faults.sync);
      await handle.sync();
    },
  };
  return new Proxy(handle, {
    get(target, name) {
      if (name in over) return over[name as keyof typeof over];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
