/**
 * Notices changed files by looking: a stat of a handful of files twice a second. That sees what change notifications
 * miss or see twice: Kubernetes' `..data` symlink swap, an editor's rename, network drives, bind mounts.
 */
import { stat } from 'node:fs/promises';

const INTERVAL_MS = 500;

/**
 * Calls `onChange` once files have changed and then stayed the same for one look, so a file being written is not read
 * half. `files` is asked anew each time. Returns its end; does not keep the process alive.
 */
export function watchFiles(files: () => readonly string[], onChange: () => void): () => void {
  let known: string | undefined;
  let candidate: string | undefined;
  let looking = false;
  const look = async () => {
    const seen = await signature(files());
    if (known !== undefined && seen !== known && seen === candidate) {
      known = undefined;
      onChange();
    }
    known ??= seen;
    candidate = seen;
  };
  const tick = () => {
    if (looking) return;
    looking = true;
    void look().finally(() => {
      looking = false;
    });
  };
  tick();
  const timer = setInterval(tick, INTERVAL_MS).unref();
  return () => clearInterval(timer);
}

/** What makes a file another one, or why it cannot be looked at. */
async function signature(files: readonly string[]): Promise<string> {
  const looks = files.map(async (file) => {
    try {
      const { ino, size, mtimeNs, ctimeNs, mode } = await stat(file, { bigint: true });
      return [file, ino, size, mtimeNs, ctimeNs, mode].join(' ');
    } catch (error) {
      return `${file} ${(error as NodeJS.ErrnoException).code}`;
    }
  });
  return (await Promise.all(looks)).join('\n');
}
