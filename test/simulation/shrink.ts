/** Finds a smaller history that violates the same invariant: takes away happenings as long as it still does. */
import { type Happening, type History, keepOnly } from './history.ts';
import { play } from './play.ts';

/** @param name of the invariant */
export async function shrink(history: History, name: string): Promise<History> {
  const fails = async (happenings: readonly Happening[]) =>
    (await play(keepOnly(history, new Set(happenings)))).violation?.name === name;
  let kept: readonly Happening[] = history.stretches.flatMap(({ happenings }) => happenings);
  for (let size = Math.ceil(kept.length / 2); size >= 1; ) {
    const smaller = await without(kept, size, fails);
    if (smaller) kept = smaller;
    else if (size === 1) break;
    else size = Math.floor(size / 2);
    size = Math.min(size, Math.max(1, kept.length));
    if (kept.length === 0) break;
  }
  return keepOnly(history, new Set(kept));
}

type Fails = (happenings: readonly Happening[]) => Promise<boolean>;

/** @returns the list without one run of `size` happenings, if that still fails */
async function without(all: readonly Happening[], size: number, fails: Fails) {
  for (let from = 0; from < all.length; from += size) {
    const fewer = all.filter((_one, index) => index < from || index >= from + size);
    if (await fails(fewer)) return fewer;
  }
  return undefined;
}
