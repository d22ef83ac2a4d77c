/** The delay of the real event loop is not part of a history. */
// biome-ignore lint/performance/noBarrelFile: it takes the place of a module of Node
export * from 'node:perf_hooks';

export function monitorEventLoopDelay() {
  const nothing = { count: 0, min: 0, max: 0, mean: 0, stddev: 0 };
  return { ...nothing, enable: () => true, disable: () => true, reset: () => undefined, percentile: () => 0 };
}
