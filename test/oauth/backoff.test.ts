import { describe, expect, it } from 'vitest';
import { backoffMs, rejectionBackoffMs } from '../../src/oauth/backoff.ts';

describe('src/oauth/backoff.ts', () => {
  it('backs off from one second to sixty with full jitter and never less than a tenth of a second', () => {
    expect([1, 2, 3, 7, 8, 10_000].map((failures) => backoffMs(failures, 1))).toEqual([
      1000, 2000, 4000, 60_000, 60_000, 60_000,
    ]);
    expect(backoffMs(9, 0)).toBe(100);
  });

  it('waits between 60 and 90 s after a clear no', () => {
    expect([rejectionBackoffMs(0), rejectionBackoffMs(1)]).toEqual([60_000, 90_000]);
  });
});
