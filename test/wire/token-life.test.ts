/** Tokens under load: one request at a cold start however many callers wait, and no gap when tokens are short-lived. */
import { describe, expect, it } from 'vitest';
import { loadOnShortTokens, NOTHING_WRONG, startTokenLife } from '../support/token-life.ts';

describe('tokens under load', () => {
  it('makes one token request for 1,000 concurrent callers at a cold start, and all of them succeed', async () => {
    // The slow first answer holds every caller in the queue until all have come.
    const slowToken = { target: 'token', delayMs: 1500 };
    await using world = await startTokenLife(3600, (url) =>
      fetch(`${url}/_emulator/faults`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(slowToken),
      }),
    );
    const statuses = await Promise.all(Array.from({ length: 1000 }, world.call));
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    expect(await world.counters()).toMatchObject({ tokenRequests: 1, unauthorized: 0, requests: { banking: 1000 } });
  });

  it('serves 10 s of continuous load on tokens of 4 s: nothing fails, none is expired, at most 5 refreshes', async () => {
    const { calls, refreshes, wrong } = await loadOnShortTokens(10);
    expect(wrong).toEqual(NOTHING_WRONG);
    expect(calls).toBeGreaterThan(300);
    // Fewer than two would mean tokens were used beyond their life.
    expect([2, 3, 4, 5]).toContain(refreshes);
  });
});
