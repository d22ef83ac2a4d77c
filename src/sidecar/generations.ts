/**
 * Swap and retire, for whatever is built anew from each configuration: the new one is in force at once and whole, the old
 * one finishes what it has begun.
 */

export interface Retirable {
  /** Begins nothing more; resolves when what it had begun is over and its connections are closed. */
  retire(): Promise<void>;
  /** Ends what still runs. */
  destroy(): Promise<void>;
}

export interface Generations<Generation> {
  current(): Generation;
  /** Resolves when the one before is over, and rejects when that cannot be closed. */
  replace(next: Generation): Promise<void>;
  /** Ends the current one and those that still finish. */
  destroy(): Promise<void>;
}

export function createGenerations<Generation extends Retirable>(first: Generation): Generations<Generation> {
  let current = first;
  const alive = new Set([first]);
  return {
    current: () => current,
    replace(next) {
      const previous = current;
      current = next;
      alive.add(next);
      return previous.retire().finally(() => alive.delete(previous));
    },
    destroy: async () => void (await Promise.all([...alive].map((generation) => generation.destroy()))),
  };
}
