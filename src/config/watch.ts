/**
 * Notices changed files by looking: a stat of a handful of files twice a second. That sees what change notifications
 * miss or see twice: Kubernetes' `..data` symlink swap, an editor's rename, network drives, bind mounts.
 */
import { statSync } from 'node:fs';

const INTERVAL_MS = 500;

/**
 * Calls `onChange` once files have changed and then stayed the same for one look, so a file being written is not read
 * half. `files` is asked anew each time. Returns its end; does not keep the process alive.
 */
export function watchFiles(files: () => readonly string[], onChange: () => void): () => void {
  let known = signature(files());
  let candidate = known;
  const look = () => {
    const seen = signature(files());
    if (seen !== known && seen === candidate) {
      onChange();
      known = signature(files());
    }
    candidate = seen;
  };
  const timer = setInterval(look, INTERVAL_MS).unref();
  return () => clearInterval(timer);
}

/** What makes a file another one, or why it cannot be looked at. */
function signature(files: readonly string[]): string {
  const looks = files.map((file) => {
    try {
      const { ino, size, mtimeNs, ctimeNs, mode } = statSync(file, { bigint: true });
      return [file, ino, size, mtimeNs, ctimeNs, mode].join(' ');
    } catch (error) {
      return `${file} ${(error as NodeJS.ErrnoException).code}`;
    }
  });
  return looks.join('\n');
}
