/**
 * A rename that outlasts others' curiosity. On Windows, whoever has a file open (a virus scanner, an indexer, a backup) makes a
 * rename of it fail for as long as that takes, usually some milliseconds.
 */
import { rename } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';

/** What it is done with; replaced where Windows has to be imitated. */
export interface RenameSystem {
  readonly platform: NodeJS.Platform;
  readonly rename: (from: string, to: string) => Promise<void>;
  readonly pause: (ms: number) => Promise<void>;
}

const HELD: ReadonlySet<string> = new Set(['EPERM', 'EACCES', 'EBUSY']);
/** Doubling, so 1.3 s in all: longer than a scanner takes, and shorter than anybody waits for a rotation. */
const PAUSES_MS = [10, 20, 40, 80, 160, 320, 640] as const;
const SYSTEM: RenameSystem = { platform: process.platform, rename, pause: (ms) => setTimeout(ms) };

/** As `rename`; elsewhere than on Windows these errors are final, and it fails at once. */
export async function renameWithRetry(from: string, to: string, system: RenameSystem = SYSTEM): Promise<void> {
  for (const pauseMs of system.platform === 'win32' ? PAUSES_MS : []) {
    try {
      return await system.rename(from, to);
    } catch (error) {
      if (!HELD.has(String((error as NodeJS.ErrnoException).code))) throw error;
    }
    await system.pause(pauseMs);
  }
  return await system.rename(from, to);
}
