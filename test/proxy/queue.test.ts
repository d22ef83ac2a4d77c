// Requests that wait for a connection: how many, and for how long.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createQueue } from '../../src/proxy/queue.ts';

const LONGEST_MS = 5000;
const queueOf = (isBusy: boolean) => createQueue({ most: 3, longestMs: LONGEST_MS, isBusy: () => isBusy });

describe('a queue', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('counts a request until it leaves, however often that is said', () => {
    const queue = queueOf(true);
    const leave = [queue.enter(() => undefined), queue.enter(() => undefined)];
    expect(queue.count).toBe(2);
    leave[0]?.();
    leave[0]?.();
    expect(queue.count).toBe(1);
    leave[1]?.();
    expect(queue.count).toBe(0);
  });

  it('tells a request that waits too long, once, and still counts it', () => {
    const queue = queueOf(true);
    const onTooLate = vi.fn();
    queue.enter(onTooLate);
    vi.advanceTimersByTime(LONGEST_MS - 1);
    expect(onTooLate).not.toHaveBeenCalled();
    vi.advanceTimersByTime(3 * LONGEST_MS);
    expect(onTooLate).toHaveBeenCalledTimes(1);
    expect(queue.count).toBe(1);
  });

  it('tells nothing to a request that has left', () => {
    const onTooLate = vi.fn();
    queueOf(true).enter(onTooLate)();
    vi.advanceTimersByTime(2 * LONGEST_MS);
    expect(onTooLate).not.toHaveBeenCalled();
  });

  it('sets no time limit while connections are free: then the connect has one', () => {
    const onTooLate = vi.fn();
    queueOf(false).enter(onTooLate);
    vi.advanceTimersByTime(2 * LONGEST_MS);
    expect(onTooLate).not.toHaveBeenCalled();
  });
});
