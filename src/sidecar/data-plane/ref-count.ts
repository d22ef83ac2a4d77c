/**
 * Who still uses something that has been replaced, and the moment when nobody does.
 */

export interface ReferenceCount {
  /** What is returned lets go. */
  hold(): () => void;
  /** Resolves when all have let go. */
  gone(): Promise<void>;
}

/** Nobody at first. */
export function countReferences(): ReferenceCount {
  let count = 0;
  let { promise, resolve } = Promise.withResolvers<void>();
  return {
    hold() {
      count += 1;
      return () => {
        count -= 1;
        if (count === 0) resolve();
      };
    },
    gone() {
      ({ promise, resolve } = Promise.withResolvers<void>());
      if (count === 0) resolve();
      return promise;
    },
  };
}
