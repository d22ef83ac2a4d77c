import { describe, expect, it } from 'vitest';
import { backoffMs, rejectionBackoffMs } from '../../src/oauth/request-pace.ts';

describe('src/oauth/backoff.ts', () => {
  it('backs off from at most two seconds to at most sixty with full jitter, and never less than one', () => {
    const longest = [1, 2, 3, 5, 6, 10_000].map((failures) => backoffMs(failures, 1));
    expect(longest).toEqual([2000, 4000, 8000, 32_000, 60_000, 60_000]);
    expect([1, 9].map((failures) => backoffMs(failures, 0))).toEqual([1000, 1000]);
  });

  it('waits between 60 and 90 s after a clear no', () => {
    expect([rejectionBackoffMs(0), rejectionBackoffMs(1)]).toEqual([60_000, 90_000]);
  });
});
