// How often buffers that have passed make room.
import { constants, PerformanceObserver } from 'node:perf_hooks';
import { expect, it } from 'vitest';
import { createMinorGc } from '../../src/proxy/minor-gc.ts';

const MIB = 1024 ** 2;

it('collects young objects once for every 8 MiB, however they come', () => {
  const collections: unknown[] = [];
  const passed = createMinorGc((how) => void collections.push(how));
  for (let sent = 0; sent < 24 * MIB; sent += 64 * 1024) passed(64 * 1024);
  expect(collections).toEqual(Array(3).fill({ type: 'minor' }));
  passed(100 * MIB);
  expect(collections).toHaveLength(4);
  passed(8 * MIB - 1);
  expect(collections).toHaveLength(4);
});

it('has V8 collect in a Node that was started without --expose-gc', async () => {
  const entries = Promise.withResolvers<number[]>();
  const observer = new PerformanceObserver((list) => entries.resolve(list.getEntries().map(kindOf)));
  observer.observe({ entryTypes: ['gc'] });
  createMinorGc()(8 * MIB);
  expect(await entries.promise).toContain(constants.NODE_PERFORMANCE_GC_MINOR);
  observer.disconnect();
});

const kindOf = (entry: unknown) => (entry as { detail: { kind: number } }).detail.kind;
