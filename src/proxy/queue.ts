/**
 * Counts the requests that wait for a connection to an API, and ends the wait of each in time. Keeps no list of them: a set
 * that changes with every request leaves old tables behind, which keep finished requests in memory until a full collection.
 */

export interface QueueOptions {
  /** Largest number of waiting requests, including abandoned ones. */
  readonly most: number;
  /** Longest wait for a connection, ms. */
  readonly longestMs: number;
  /** Whether all connections are in use. */
  readonly isBusy: () => boolean;
}

export interface Queue extends Pick<QueueOptions, 'most'> {
  /** Waiting requests, including abandoned ones. */
  readonly count: number;
  /**
   * Counts a request until the returned function is called, once or more often.
   * @param onTooLate called when it has waited too long; it stays counted
   */
  enter(onTooLate: () => void): () => void;
}

/**
 * Creates the empty queue of a route.
 * @example
 * const leave = createQueue({ most: 2000, longestMs: 10_000, isBusy: () => true }).enter(() => giveUp());
 */
export function createQueue({ most, longestMs, isBusy }: QueueOptions): Queue {
  const queue = {
    ...{ count: 0, most },
    enter(onTooLate: () => void) {
      queue.count += 1;
      // A request that has a connection waits only for the connect, which has its own time limit.
      const timer = isBusy() ? setTimeout(onTooLate, longestMs) : undefined;
      let isIn = true;
      return () => {
        if (isIn) queue.count -= 1;
        isIn = false;
        clearTimeout(timer);
      };
    },
  };
  return queue;
}
