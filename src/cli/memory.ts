/**
 * Limits the memory of a serving process, however it was started: V8's nursery while it runs, and what the start leaves behind.
 * What is set here with flags of V8 needs no flags of Node.
 */
import { flushCompileCache } from 'node:module';
import { PerformanceObserver, performance } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Both semi-spaces. V8 doubles them, so they stop at up to twice this. With more, a loaded process holds some 20 MiB more. */
const NURSERY_BYTES = 8 * 1024 * 1024;
/** The default of V8. */
const DEFAULT_GROWTH = 2;

/**
 * Does what `--max-semi-space-size=8` does, for a process started without it. V8 reads that flag only when it creates the
 * heap, but reads the growth factor at each collection, and shrinks the nursery in quiet times. The flag changes only after
 * the nursery has grown, because Node rejects cached code that was compiled under other flags.
 */
export function keepNurserySmall(): void {
  if (process.execArgv.some((argument) => /semi.space/.test(argument))) return;
  let growth = DEFAULT_GROWTH;
  const observer = new PerformanceObserver(() => {
    const nursery = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
    const next = nursery && nursery.space_size >= NURSERY_BYTES ? 1 : DEFAULT_GROWTH;
    if (next !== growth) setFlagsFromString(`--semi-space-growth-factor=${next}`);
    growth = next;
  });
  observer.observe({ entryTypes: ['gc'] });
}

export interface Quiet {
  /** Share of the time in which the event loop was busy, since the last call; in [0, 1]. */
  readonly busyShare: () => number;
  /** Calls `run` once after these ms, and keeps no process alive. */
  readonly after: (ms: number, run: () => void) => void;
  readonly collect: () => void;
}

const LOOK_MS = 400;
const BUSY_SHARE = 0.1;

/**
 * Collects once, in the first moment in which the process has next to nothing to do. All that is loaded at the start
 * survives its first collections, so V8 lets the nursery grow to 8 MiB, and keeps that while nothing happens. The collection
 * stops the process for some ten milliseconds; under load V8 does without it.
 */
export function releaseStartMemory(quiet: Quiet = createQuiet()): void {
  quiet.busyShare();
  const look = () => {
    if (quiet.busyShare() > BUSY_SHARE) quiet.after(LOOK_MS, look);
    else quiet.collect();
  };
  quiet.after(LOOK_MS, look);
}

function createQuiet(): Quiet {
  let last = performance.eventLoopUtilization();
  return {
    busyShare() {
      const now = performance.eventLoopUtilization();
      const { utilization } = performance.eventLoopUtilization(now, last);
      last = now;
      return utilization;
    },
    after: (ms, run) => void setTimeout(run, ms).unref(),
    collect() {
      // Before a flag changes: V8 uses cached code only under the flags it was compiled with.
      flushCompileCache();
      // Only contexts created after this flag have the function.
      setFlagsFromString('--expose-gc');
      const gc = globalThis.gc ?? (runInNewContext('gc') as NonNullable<typeof globalThis.gc>);
      // The only flavor that also shrinks the nursery.
      gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
    },
  };
}
