/**
 * Detects changed files. What counts is a stat of each file. The system's events say when to look: they may be missing or
 * come twice, so without any the files are looked at every 10 s, and twice a second while something happens near them.
 */
import { subscribeToFiles } from './file-events.ts';
import { fileState } from './regular-file.ts';

const QUICK_MS = 500;
/** The longest time in which a change stays unseen if no event tells of it. */
const SLOW_MS = 10_000;
/** Looks without a change after which events are relied on. */
const QUIET_LOOKS = 10;
/** The same after they could not be had. */
const RETRY_LOOKS = 120;

export interface WatchOptions {
  /** Called once, with the system's error code, when events cannot be had: then the files are looked at twice a second. */
  readonly onNoEvents?: (errno: string) => void;
  readonly system?: WatchSystem;
}

export interface WatchSystem {
  /** Calls `run` about every `ms`, without keeping the process alive, until the returned function is called. */
  readonly every: (ms: number, run: () => void) => () => void;
  readonly subscribe: typeof subscribeToFiles;
}

const SYSTEM: WatchSystem = {
  every(ms, run) {
    const timer = setInterval(run, ms).unref();
    return () => clearInterval(timer);
  },
  subscribe: subscribeToFiles,
};

/**
 * Calls `onChange` when a file is not as it was read and then stayed the same for half a second, so that no half-written file
 * is read. A file that changes all the time does not hide the others. Calls `files` at each look. Returns a function that stops
 * it; does not keep the process alive.
 * @param files with their states before they were read: what changes between that and the first look is not missed
 */
export function watchFiles(
  files: () => ReadonlyMap<string, string>,
  onChange: () => void,
  { onNoEvents, system = SYSTEM }: WatchOptions = {},
): () => void {
  const look = createLook(files, onChange);
  let report = onNoEvents;
  let quiet = 0;
  let quietEnough = QUIET_LOOKS;
  let stop = () => undefined as unknown;
  const lookOften = () => {
    stop();
    quiet = 0;
    stop = system.every(QUICK_MS, () => {
      quiet = look() ? quiet + 1 : 0;
      if (quiet >= quietEnough) relyOnEvents();
    });
  };
  const onEvent = () => {
    lookOften();
    look();
  };
  const lookSeldom = () => {
    // Never two looks in a row at what has changed: half a second has to pass between them.
    if (!look()) lookOften();
  };
  const relyOnEvents = () => {
    try {
      const unsubscribe = system.subscribe([...files().keys()], onEvent);
      stop();
      const stopLooking = system.every(SLOW_MS, lookSeldom);
      stop = () => {
        unsubscribe();
        stopLooking();
      };
      quietEnough = QUIET_LOOKS;
      // What changed before the subscription.
      lookSeldom();
    } catch (error) {
      quiet = 0;
      quietEnough = RETRY_LOOKS;
      report?.(String((error as NodeJS.ErrnoException).code));
      report = undefined;
    }
  };
  lookOften();
  return () => stop();
}

/** Returns a function that looks once, and returns whether everything is as it was at the look before. */
function createLook(files: () => ReadonlyMap<string, string>, onChange: () => void): () => boolean {
  let known: ReadonlyMap<string, string> = new Map(files());
  let candidate = known;
  return () => {
    const seen = looks(files());
    const moving = [...seen].some(([file, is]) => is !== candidate.get(file));
    const rested = [...seen].filter(([file, is]) => is !== known.get(file) && is === candidate.get(file));
    candidate = seen;
    if (rested.length === 0) return !moving;
    onChange();
    // Changes since this look are still to be read; files new in the list were just read.
    known = new Map([...files(), ...known, ...rested]);
    return false;
  };
}

function looks(files: ReadonlyMap<string, string>): Map<string, string> {
  return new Map([...files.keys()].map((file) => [file, fileState(file)]));
}
