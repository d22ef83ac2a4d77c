/** Random histories of a fleet that rotates its secret: seeds 1 to 60, of which `npm test` plays the first fifteen. */
import { describe, expect, it } from 'vitest';
import { runHistory } from '../support/fleet-rotation-history.ts';

const SEEDS = 60;

describe('a fleet that rotates', () => {
  it.each(Array.from({ length: SEEDS }, (_, at) => at + 1))(
    'leaves nobody without a secret that works, and no stray, with seed %i',
    async (seed) => {
      const { problem, rotations, mostLive } = await runHistory(seed);
      expect(problem ?? '').toBe('');
      expect(rotations).toBeGreaterThan(3);
      expect(mostLive).toBeLessThanOrEqual(3);
    },
    60_000,
  );
});
