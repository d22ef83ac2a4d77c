/**
 * What a mistyped word was probably meant to be. For mistakes only, never on the way of a request that is served: the cost is
 * the product of the lengths, which is bounded here because callers choose paths.
 */

/** More of a word is not compared. */
const MAX_CHARS = 64;
/** One mistake in so many characters, but never more than so many in all, or another word is meant. */
const CHARS_PER_MISTAKE = 4;
const MAX_MISTAKES = 3;

/** The nearest of `known`, whatever its case; undefined when none is near. */
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

/** Optimal string alignment: letters too many, too few, wrong, or two in the wrong order. */
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

/** Outside of the table nothing is near. */
function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}
