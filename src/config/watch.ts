/**
 * Notices changed files by looking: a stat of a handful of files twice a second. That sees what change notifications
 * miss or see twice: Kubernetes' `..data` symlink swap, an editor's rename, network drives, bind mounts.
 */
import { statSync } from 'node:fs';

const INTERVAL_MS = 500;

/**
 * Calls `onChange` once a file has changed and then stayed the same for one look, so a file being written is not read half;
 * one that never rests does not keep the others from being noticed. `files` is asked anew each time. Returns its end; does
 * not keep the process alive.
 */
export function watchFiles(files: () => readonly string[], onChange: () => void): () => void {
  let known = looks(files());
  let candidate = known;
  const look = () => {
    const seen = looks(files());
    const rested = [...seen].filter(([file, is]) => is !== known.get(file) && is === candidate.get(file));
    candidate = seen;
    if (rested.length === 0) return;
    onChange();
    // What has changed since this look is yet to be read; files that are new in the list have just been.
    known = new Map([...looks(files()), ...known, ...rested]);
  };
  const timer = setInterval(look, INTERVAL_MS).unref();
  return () => clearInterval(timer);
}

/** What makes each file another one, or why it cannot be looked at. */
function looks(files: readonly string[]): Map<string, string> {
  return new Map(files.map((file) => [file, lookAt(file)]));
}

function lookAt(file: string): string {
  try {
    const { ino, size, mtimeNs, ctimeNs, mode } = statSync(file, { bigint: true });
    return [ino, size, mtimeNs, ctimeNs, mode].join(' ');
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}
