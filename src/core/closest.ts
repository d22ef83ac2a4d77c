/**
 * Suggests the word that a mistyped one probably meant. Use it only for errors, never for a request that is served: the
 * cost is the product of the lengths, which is bounded here because callers choose paths.
 */

/** Characters compared per word. */
const MAX_CHARS = 64;
/** Allows one mistake per four characters and three in total; with more, another word is meant. */
const CHARS_PER_MISTAKE = 4;
const MAX_MISTAKES = 3;

/**
 * Returns the nearest of `known`, ignoring case; undefined when none is near.
 * @example closest('lisen', ['listen', 'admin']) // 'listen'
 */
export function closest(word: string, known: readonly string[]): string | undefined {
  const written = word.slice(0, MAX_CHARS).toLowerCase();
  const most = Math.min(MAX_MISTAKES, Math.max(1, Math.floor(written.length / CHARS_PER_MISTAKE)));
  let nearest: string | undefined;
  let least = most + 1;
  for (const candidate of known) {
    const meant = candidate.slice(0, MAX_CHARS).toLowerCase();
    if (Math.abs(meant.length - written.length) >= least) continue;
    const mistakes = distance(written, meant);
    if (mistakes < least) [nearest, least] = [candidate, mistakes];
  }
  return nearest;
}

/** Optimal string alignment: counts letters added, missing, wrong or swapped with the next. */
function distance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const differs = a[i - 1] === b[j - 1] ? 0 : 1;
      const steps = [at(last, j) + 1, at(row, j - 1) + 1, at(last, j - 1) + differs];
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) steps.push(at(beforeLast, j - 2) + 1);
      row.push(Math.min(...steps));
    }
    [beforeLast, last] = [last, row];
  }
  return at(last, b.length);
}

/** Infinity outside of the table. */
function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}
