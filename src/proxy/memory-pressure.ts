/**
 * Detects that memory is running out. Samples instead of measuring at every request, and uses two thresholds, so the state
 * does not flicker while requests come and go.
 */
import { getHeapStatistics } from 'node:v8';

const SAMPLE_MS = 50;
/** Also sample every so many requests: a burst fills a small heap within one turn of the event loop, before the clock moves. */
const SAMPLE_EVERY = 32;
/** Pressure ends when use is this share of the limit below the threshold. */
const RELIEF = 0.1;

export interface MemoryPressureOptions {
  /** Threshold as a share of the limit, 0 to 1. */
  readonly share: number;
  /** Returns the memory in use now, as a share of the limit. */
  readonly sample: () => number;
  /** Called when pressure starts and when it ends. */
  readonly onChange: (high: boolean) => void;
}

export interface MemoryPressure {
  /** Called for every request; samples at every 32nd, and when the last sample is 50 ms old. */
  isHigh(): boolean;
  /** Stops sampling. */
  close(): void;
}

/**
 * Samples at once, when requests come, and every 50 ms while pressure is high. Otherwise there is no timer: at a few hundred
 * requests a second, each time that one wakes the process costs a tenth of a request. Does not keep the process alive.
 * @example
 * const pressure = createMemoryPressure({ share: 0.8, sample: heapShareInUse, onChange: log });
 */
export function createMemoryPressure({ share, sample, onChange }: MemoryPressureOptions): MemoryPressure {
  let high = false;
  let asked = 0;
  let lookedAt = 0;
  let timer: NodeJS.Timeout | undefined;
  const look = () => {
    lookedAt = performance.now();
    const used = sample();
    const next = high ? used > share - RELIEF : used > share;
    if (next === high) return;
    high = next;
    // Somebody has to notice the end when no requests come.
    if (high) timer = setInterval(look, SAMPLE_MS).unref();
    else clearInterval(timer);
    onChange(high);
  };
  look();
  return {
    isHigh() {
      asked += 1;
      if (asked % SAMPLE_EVERY === 0 || performance.now() - lookedAt >= SAMPLE_MS) look();
      return high;
    },
    close: () => clearInterval(timer),
  };
}

const MIB = 1024 * 1024;
/** V8's default on 64-bit systems. */
const SEMI_SPACE_MIB = 32;
/** Smallest share for old objects, whatever the flags are. */
const LEAST_OLD_SHARE = 0.4;

/** Up to this much of the buffers outside the heap may be garbage that V8 has not collected yet. */
const UNCOLLECTED_BYTES = 64 * MIB;

/**
 * Returns the memory in use as a share of the room for old objects (`--max-old-space-size`); 1 and more is possible. Counts
 * the heap and the buffers outside of it. Young objects count: those of a waiting request become old soon, and refusing
 * requests then is too late.
 */
export function heapShareInUse(): number {
  const { used_heap_size: used, external_memory: buffers, heap_size_limit: limit } = getHeapStatistics();
  return (used + Math.max(0, buffers - UNCOLLECTED_BYTES)) / Math.max(limit - YOUNG_BYTES, limit * LEAST_OLD_SHARE);
}

/**
 * Returns the part of `heap_size_limit` for young objects, in bytes: three semi-spaces. Reads Node's own arguments, which
 * override NODE_OPTIONS; a smaller value in NODE_OPTIONS is ignored, which is the safe side.
 */
export function youngBytes(nodeArguments: readonly string[]): number {
  const sizes = nodeArguments.map((argument) => /^--max[-_]semi[-_]space[-_]size=(\d+)$/.exec(argument)?.[1]);
  return 3 * Number(sizes.findLast((size) => size !== undefined) ?? SEMI_SPACE_MIB) * MIB;
}

const YOUNG_BYTES = youngBytes(process.execArgv);
