// The verification of a new secret, with a clock and an identity server of the test's own.
import { expect, it } from 'vitest';
import { Secret } from '../../../src/core/secret.ts';
import { type Verdict, verify } from '../../../src/iam/rotation/verification.ts';

const HOUR = 3_600_000;
/** In an hour there are fewer. */
const MOST = 1000;

/** @param verdicts of the tries in order; the last one stays @param pauseMs how long each pause really lasts */
function verification(verdicts: readonly [Verdict, ...Verdict[]], pauseMs: number) {
  let now = 0;
  let tries = 0;
  const result = verify(new Secret('a-new-secret'), {
    trySecret: async () => verdicts[Math.min(tries++, verdicts.length - 1)] ?? verdicts[0],
    forMs: HOUR,
    clock: {
      now: () => now,
      async sleep() {
        now += pauseMs;
        if (tries > MOST) throw new Error('it goes on and on');
      },
    },
  });
  return result.then((works) => ({ works, tries }));
}

it('proves a secret that is accepted only after the machine has slept for longer than the time for it', async () => {
  expect(await verification(['refused', 'accepted'], 2 * HOUR)).toEqual({ works: true, tries: 4 });
});

it('gives up a secret that is refused once more after the time for it', async () => {
  expect(await verification(['refused', 'accepted', 'refused'], 2 * HOUR)).toEqual({ works: false, tries: 3 });
});

it('has no result while the identity server gives none after the time for it', async () => {
  await expect(verification(['accepted', 'unavailable'], 2 * HOUR)).rejects.toMatchObject({
    code: 'TOKEN_UNAVAILABLE',
  });
});

it('gives up a secret that is refused for its time, although the clock is set back again and again', async () => {
  const { works, tries } = await verification(['refused'], -1000);
  expect(works).toBe(false);
  expect(tries).toBeLessThan(150);
});
