/**
 * Measures how late the event loop is, while there are requests: Node's monitor wakes the process a hundred times a second,
 * and with nothing to do nobody waits for the event loop.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';

/** In seconds. Node counts the interval of its timer, 0.01 s, in each of them. */
export interface LagReading {
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly stddev: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
}

export interface EventLoopLag {
  /** True while a request need not be noted again: most requests cost a look at this property, and no call. */
  readonly isNoted: boolean;
  /** Starts the measurement or keeps it going. */
  noteRequest(): void;
  /** Returns what was measured since the last call; zeros if there was no request. */
  read(): LagReading;
}

export interface EventLoopLagOptions {
  readonly monitor: Pick<
    ReturnType<typeof monitorEventLoopDelay>,
    'enable' | 'disable' | 'reset' | 'count' | 'min' | 'max' | 'mean' | 'stddev' | 'percentile'
  >;
  /** Calls `run` once after `ms`; does not keep the process alive. */
  readonly later: (ms: number, run: () => void) => void;
}

const RESOLUTION_MS = 10;
/** Long enough for 500 measurements, so that one late turn of the event loop is not yet its 99th percentile. */
const HOLD_MS = 5000;
const NOTHING: LagReading = { min: 0, max: 0, mean: 0, stddev: 0, p50: 0, p90: 0, p99: 0 };

/**
 * Measures from a request until 5 to 10 s without another one.
 * @example
 * const lag = createEventLoopLag(systemLag());
 */
export function createEventLoopLag({ monitor, later }: EventLoopLagOptions): EventLoopLag {
  let isRunning = false;
  // Of the bursts of requests since the last reading.
  let worst = NOTHING;
  const take = () => {
    const reading = monitor.count === 0 ? NOTHING : readingOf(monitor);
    // Otherwise Node counts the pause that follows as one very late turn.
    monitor.reset();
    if (reading.p99 >= worst.p99) worst = reading;
  };
  const look = () => {
    isRunning = lag.isNoted;
    lag.isNoted = false;
    if (isRunning) return later(HOLD_MS, look);
    monitor.disable();
    take();
  };
  const lag = {
    isNoted: false,
    noteRequest() {
      lag.isNoted = true;
      if (isRunning) return;
      isRunning = monitor.enable();
      later(HOLD_MS, look);
    },
    read() {
      take();
      const reading = worst;
      worst = NOTHING;
      return reading;
    },
  };
  return lag;
}

/** Returns Node's monitor and timers. */
export function systemLag(): EventLoopLagOptions {
  return {
    monitor: monitorEventLoopDelay({ resolution: RESOLUTION_MS }),
    later: (ms, run) => void setTimeout(run, ms).unref(),
  };
}

function readingOf(monitor: EventLoopLagOptions['monitor']): LagReading {
  const { min, max, mean, stddev } = monitor;
  const [p50 = 0, p90 = 0, p99 = 0] = [50, 90, 99].map((share) => monitor.percentile(share));
  const ns = { min, max, mean, stddev, p50, p90, p99 };
  return Object.fromEntries(Object.entries(ns).map(([name, value]) => [name, value / 1e9])) as unknown as LagReading;
}
