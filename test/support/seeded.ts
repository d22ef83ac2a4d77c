/** Repeatable random numbers: they depend only on a seed and a name, not on the order of events. */

export interface Chance {
  /** From 0 to 1, without 1. */
  next(): number;
  /** An integer, both ends included. */
  between(low: number, high: number): number;
  /** True with this probability: 0 never, 1 always. */
  happens(share: number): boolean;
  pick<Value>(list: readonly [Value, ...Value[]]): Value;
}

export function chance(seed: number, name: string): Chance {
  let state = seed | 0;
  for (const char of name) state = Math.imul(state ^ (char.codePointAt(0) ?? 0), 0x01000193);
  const next = (): number => {
    // mulberry32.
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    between: (low, high) => low + Math.floor(next() * (high - low + 1)),
    happens: (share) => next() < share,
    pick: (list) => list[Math.floor(next() * list.length)] ?? list[0],
  };
}
