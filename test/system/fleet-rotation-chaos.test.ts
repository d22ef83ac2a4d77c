// Rotations in a fleet whose members, program and store are killed, cut off and wiped. More of them: ROTATION_ROUNDS=20.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { missingRedis } from '../support/redis-server.ts';
import { rotateInChaos } from '../support/rotation-chaos.ts';
import { type RotationFleet, startRotationFleet } from '../support/rotation-fleet.ts';
import { chance } from '../support/seeded.ts';

const SEED = Number(process.env['CHAOS_SEED'] ?? 20_261_130);
const ROUNDS = Number(process.env['ROTATION_ROUNDS'] ?? 4);

describe.skipIf(missingRedis().length > 0 && !process.env['CI'])(
  `rotations of a fleet in chaos (CHAOS_SEED=${SEED})`,
  () => {
    let fleet: RotationFleet;
    beforeAll(async () => {
      fleet = await startRotationFleet({ members: 3, overlap: '4s' });
    });
    afterAll(async () => await fleet?.[Symbol.asyncDispose]());

    it.each(Array.from({ length: ROUNDS }, (_, round) => ({ round })))(
      'rotation $round ends with one secret that all have, nobody was ever without a working one, and no call failed',
      async ({ round }) => {
        const result = await rotateInChaos(fleet, chance(SEED, `round ${round}`));
        process.stdout.write(`rotation ${round}: ${JSON.stringify(result)}\n`);
        expect(result.wrong).toEqual([]);
        expect(result.calls).toBeGreaterThan(100);
      },
      400_000,
    );
  },
);
