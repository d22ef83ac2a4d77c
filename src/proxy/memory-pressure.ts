/**
 * Whether memory is running out: looked at now and then instead of at every request, and with two thresholds, so that
 * the verdict does not flicker while requests come and go.
 */
import { getHeapStatistics } from 'node:v8';

const SAMPLE_MS = 50;
/** A burst fills a small heap within one turn of the event loop, in which no timer runs. */
const SAMPLE_EVERY = 32;
/** Shedding ends when this share of the limit is free again, on top of what it began at. */
const RELIEF = 0.1;

export interface MemoryPressureOptions {
  /** Of the limit, 0 to 1, above which pressure is high. */
  readonly share: number;
  /** Memory in use as a share of the limit, now. */
  readonly sample: () => number;
  /** Called when pressure becomes high or ceases to be. */
  readonly onChange: (high: boolean) => void;
}

export interface MemoryPressure {
  /** For every request; looks at every 32nd. */
  isHigh(): boolean;
  /** Looks no more. */
  close(): void;
}

/** Looks at once, and regularly while requests come or pressure is high, without keeping the process alive. */
export function createMemoryPressure({ share, sample, onChange }: MemoryPressureOptions): MemoryPressure {
  let high = false;
  let asked = 0;
  let askedBefore = 0;
  let timer: NodeJS.Timeout | undefined;
  const look = () => {
    const used = sample();
    const next = high ? used > share - RELIEF : used > share;
    if (next === high) return;
    high = next;
    onChange(high);
  };
  const watch = () => {
    timer = setInterval(() => {
      look();
      if (high || asked !== askedBefore) askedBefore = asked;
      else timer = void clearInterval(timer);
    }, SAMPLE_MS).unref();
  };
  look();
  watch();
  return {
    isHigh() {
      asked += 1;
      if (timer === undefined || asked % SAMPLE_EVERY === 0) look();
      if (timer === undefined) watch();
      return high;
    },
    close: () => clearInterval(timer),
  };
}

const MIB = 1024 * 1024;
/** V8's default on 64 bits. */
const SEMI_SPACE_MIB = 32;
/** What is left for old objects whatever was set. */
const LEAST_OLD_SHARE = 0.4;

/** Of buffers outside of the heap so many may be garbage that V8 has not come to look for yet. */
const UNCOLLECTED_BYTES = 64 * MIB;

/**
 * What is held as a share of the heap's room for long-lived objects (`--max-old-space-size`), 0 to 1 and beyond: in the
 * heap, and in buffers outside of it, which take the same memory. Young objects count, because those of a request that is
 * held will be old soon, and then it is too late to say no.
 */
export function heapShareInUse(): number {
  const { used_heap_size: used, external_memory: buffers, heap_size_limit: limit } = getHeapStatistics();
  return (used + Math.max(0, buffers - UNCOLLECTED_BYTES)) / Math.max(limit - YOUNG_BYTES, limit * LEAST_OLD_SHARE);
}

/**
 * What `heap_size_limit` counts for young objects, of which the process does not die: three semi-spaces. Node's own
 * arguments have the last word; what NODE_OPTIONS makes smaller is taken for the default, which errs on the safe side.
 */
export function youngBytes(nodeArguments: readonly string[]): number {
  const sizes = nodeArguments.map((argument) => /^--max[-_]semi[-_]space[-_]size=(\d+)$/.exec(argument)?.[1]);
  return 3 * Number(sizes.findLast((size) => size !== undefined) ?? SEMI_SPACE_MIB) * MIB;
}

const YOUNG_BYTES = youngBytes(process.execArgv);
