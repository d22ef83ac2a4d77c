/** Random histories of a fleet that rotates its secret: seeds 1 to 20 in `npm test`, 1 to 60 in the system suite. */
import { describe, expect, it } from 'vitest';
import { runHistory } from '../../support/fleet-rotation-history.ts';
import { runsOf } from '../../support/share.ts';

const FIRST_SEED = Number(process.env['SEED'] ?? 1);
const SEEDS = Number(process.env['SEEDS'] ?? runsOf(60));

describe('a fleet that rotates', () => {
  it.each(Array.from({ length: SEEDS }, (_, at) => FIRST_SEED + at))(
    'leaves nobody without a secret that works, and no stray, with seed %i',
    async (seed) => {
      const { problem, rotations, mostLive } = await runHistory(seed);
      expect(problem ?? '').toBe('');
      expect(rotations).toBeGreaterThan(3);
      expect(mostLive).toBeLessThanOrEqual(3);
    },
  );
});
