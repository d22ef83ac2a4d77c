// How often buffers that have passed make room.
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

it('does nothing where Node does not let it', () => {
  expect(() => createMinorGc(undefined)(100 * MIB)).not.toThrow();
});
