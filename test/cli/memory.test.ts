/** When the memory of a start is given back; that it is, shows in a process of its own. */
import { getHeapSpaceStatistics } from 'node:v8';
import { expect, it } from 'vitest';
import { releaseStartMemory } from '../../src/cli/memory.ts';

/** A process with these shares of busy time, one for each look after the first reading. */
function processThatIs(shares: readonly number[]) {
  const looks: (() => void)[] = [];
  const rest = [0, ...shares];
  const state = { collections: 0 };
  releaseStartMemory({
    busyShare: () => rest.shift() ?? 0,
    after: (_ms, run) => void looks.push(run),
    collect: () => {
      state.collections += 1;
    },
  });
  return { state, passTime: () => looks.shift()?.(), isWaiting: () => looks.length > 0 };
}

it('collects once, when the process has been quiet since the last look', () => {
  const { state, passTime, isWaiting } = processThatIs([0.01]);
  expect(state.collections).toBe(0);
  passTime();
  expect([state.collections, isWaiting()]).toEqual([1, false]);
});

it('does not stop a busy process: it waits until a look finds it quiet', () => {
  const { state, passTime } = processThatIs([0.9, 0.2, 0.01]);
  passTime();
  passTime();
  expect(state.collections).toBe(0);
  passTime();
  expect(state.collections).toBe(1);
});

it('shrinks the nursery that the start has left, without a flag of Node', async () => {
  const nurseryBytes = () => getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space')?.space_size;
  const kept: unknown[] = [];
  for (let made = 0; made < 300_000; made += 1) kept.push({ made });
  const grown = nurseryBytes() ?? 0;
  releaseStartMemory();
  await expect.poll(nurseryBytes).toBeLessThan(grown / 2);
  expect(kept).toHaveLength(300_000);
});
