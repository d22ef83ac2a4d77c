/** The delay of the real event loop, and its garbage collections, are not part of a history. */
// biome-ignore lint/performance/noBarrelFile: it takes the place of a module of Node
export * from 'node:perf_hooks';

export function monitorEventLoopDelay() {
  const nothing = { count: 0, min: 0, max: 0, mean: 0, stddev: 0 };
  return { ...nothing, enable: () => true, disable: () => true, reset: () => undefined, percentile: () => 0 };
}

/** prom-client leaves one for each process that it is loaded in: here, those of all that a history has started. */
export class PerformanceObserver {
  observe(): void {
    // There is nothing to see.
  }
}
