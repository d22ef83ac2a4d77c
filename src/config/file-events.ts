/**
 * Asks the system to tell when something happens where the watched files are: in the folders of the files, in those of every
 * symbolic link on the way, and to the files themselves. Refuses where a change could go untold.
 */
import { type FSWatcher, lstatSync, readlinkSync, statfsSync, watch } from 'node:fs';
import { dirname, join, parse, resolve, sep } from 'node:path';

/** Magic numbers of statfs(2): others, as NFS, SMB, FUSE and 9p, do not tell what another machine or the host changes. */
const LOCAL_FILE_SYSTEMS = new Map([
  [0xef53, 'ext4'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x2fc12fc1, 'zfs'],
  [0xf2f52010, 'f2fs'],
  [0xca451a4e, 'bcachefs'],
  [0x01021994, 'tmpfs'],
  [0x858458f6, 'ramfs'],
  [0x794c7630, 'overlay'],
]);
/** As many as Linux follows. */
const MAX_LINKS = 40;

/**
 * Calls `onEvent`, often more than once and also for other files, when something may have changed. Returns a function that
 * ends it; does not keep the process alive.
 * @throws Error with a `code`: EOPNOTSUPP where events cannot be trusted, ENOSPC or EMFILE at the limits of inotify
 */
export function subscribeToFiles(files: readonly string[], onEvent: () => void): () => void {
  // Windows holds the handle of a watched folder, which may then not be replaced; others were not tried.
  if (process.platform !== 'linux') throw notSupported();
  const watchers: FSWatcher[] = [];
  const close = () => {
    for (const watcher of watchers) watcher.close();
  };
  try {
    for (const place of new Set(files.flatMap(placesOf))) {
      if (!LOCAL_FILE_SYSTEMS.has(statfsSync(place).type)) throw notSupported();
      watchers.push(watch(place, { persistent: false }, onEvent).on('error', onEvent));
    }
    return close;
  } catch (error) {
    close();
    throw error;
  }
}

function notSupported(): Error {
  return Object.assign(new Error('file events cannot be trusted here'), { code: 'EOPNOTSUPP' });
}

/**
 * Returns where a change of the file can be seen. The file itself is one of these places: it may be mounted or linked from
 * another folder. Of a path that does not exist, the deepest folder that does.
 */
function placesOf(file: string): string[] {
  const places: string[] = [];
  let path = file;
  for (let links = 0; links <= MAX_LINKS; links += 1) {
    const step = firstLink(path);
    if (step.kind === 'whole') return [...places, dirname(path), path];
    places.push(dirname(step.at));
    if (step.kind === 'missing') return places;
    path = resolve(dirname(step.at), readlinkSync(step.at), step.rest);
  }
  throw notSupported();
}

type Step =
  | { readonly kind: 'whole' }
  | { readonly kind: 'missing'; readonly at: string }
  | { readonly kind: 'link'; readonly at: string; readonly rest: string };

/** Finds the first part of a path that is a symbolic link or does not exist. */
function firstLink(path: string): Step {
  const { root } = parse(path);
  const parts = path.slice(root.length).split(sep);
  let at = root;
  for (const [index, part] of parts.entries()) {
    at = join(at, part);
    try {
      if (lstatSync(at).isSymbolicLink()) return { kind: 'link', at, rest: parts.slice(index + 1).join(sep) };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ENOTDIR') return { kind: 'missing', at };
      // Node's permission model hides folders above the readable ones.
      if (code !== 'ERR_ACCESS_DENIED') throw error;
    }
  }
  return { kind: 'whole' };
}
