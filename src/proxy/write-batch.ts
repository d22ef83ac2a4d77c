/**
 * Writes the ends of responses together: they wait until everything that has arrived in this turn of the event loop is
 * read, and are then written one right after the other. The first wakes whoever waits for it and the rest find it awake;
 * written one by one, each pays for a waking of its own, which costs more than the writing does.
 */

/** Ends the response. May throw; the others are written all the same. */
export interface Ending {
  writeEnd(): void;
}

/** Takes what is to end in this turn. */
export type WriteBatch = (ending: Ending) => void;

/** One for all callers of a process. */
export function createWriteBatch(): WriteBatch {
  let waiting: Ending[] = [];
  const writeAll = () => {
    const together = waiting;
    waiting = [];
    for (const ending of together) ending.writeEnd();
  };
  return (ending) => {
    waiting.push(ending);
    if (waiting.length === 1) setImmediate(writeAll);
  };
}
