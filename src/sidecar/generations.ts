/**
 * Replaces objects that are built anew from each configuration: the new one is used at once and as a whole, the old one
 * finishes what it has begun.
 */

export interface Retirable {
  /** Starts nothing new; resolves when everything it has begun is finished and its connections are closed. */
  retire(): Promise<void>;
  /** Aborts what still runs. */
  destroy(): Promise<void>;
}

export interface Generations<Generation> {
  current(): Generation;
  /** Makes `next` current. Resolves when the previous one is retired; rejects when it cannot be closed. */
  replace(next: Generation): Promise<void>;
  /** Destroys the current one and those that are still retiring. */
  destroy(): Promise<void>;
}

/**
 * Creates the sequence with its first generation.
 * @example
 * const generations = createGenerations(first);
 * await generations.replace(next);
 */
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
