// The same as in test/wire for longer: no tool is needed for it, but more time than a developer's test run should take.
import { expect, it } from 'vitest';
import { loadOnShortTokens, NOTHING_WRONG } from '../support/token-life.ts';

it('30 s of continuous load on tokens of 4 s: nothing fails, none is expired, at most 15 refreshes', async () => {
  const { calls, refreshes, wrong } = await loadOnShortTokens(30);
  expect(wrong).toEqual(NOTHING_WRONG);
  expect(calls).toBeGreaterThan(1000);
  // Fewer than six would mean tokens were used beyond their life.
  expect(refreshes).toBeLessThanOrEqual(15);
  expect(refreshes).toBeGreaterThanOrEqual(6);
  process.stdout.write(`30 s on 4 s tokens: ${calls} requests, ${refreshes} refreshes, 0 failed\n`);
});
