/** The real heap is not part of a history. */
// biome-ignore lint/performance/noBarrelFile: it takes the place of a module of Node
export * from 'node:v8';

export function getHeapStatistics() {
  return { used_heap_size: 1, external_memory: 0, heap_size_limit: 2 ** 32 };
}
