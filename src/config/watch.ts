/**
 * Detects changed files by polling: a stat of a few files twice a second. This works where change notifications fail or
 * fire twice: the `..data` symlink swap of Kubernetes, renames by editors, network drives, bind mounts.
 */
import { statSync } from 'node:fs';

const INTERVAL_MS = 500;

/**
 * Calls `onChange` when a file changed and then stayed the same for one poll, so that no half-written file is read. A
 * file that changes all the time does not hide the others. Calls `files` at each poll. Returns a function that stops
 * it; does not keep the process alive.
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
    // Changes since this poll are still to be read; files new in the list were just read.
    known = new Map([...looks(files()), ...known, ...rested]);
  };
  const timer = setInterval(look, INTERVAL_MS).unref();
  return () => clearInterval(timer);
}

/** The state of each file, or the error code of its stat. */
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
