/**
 * Compares what a page shows with what a command printed. `…` in a line stands for any text, a line of only `…` for any lines.
 * What differs from run to run is compared by its shape: UUIDs, dates and times, durations, fingerprints, and ports other than
 * the documented ones.
 */
import { stripVTControlCharacters } from 'node:util';

const DOCUMENTED_PORTS = new Set(['7080', '7090', '7100']);
const ANY = '…';

const SHAPES: readonly (readonly [pattern: RegExp, name: string])[] = [
  [/\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b/gi, '<uuid>'],
  [/\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: ?(?:Z|UTC)|[+-]\d\d:?\d\d)?)?/g, '<date>'],
  [/\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT/g, '<date>'],
  [/\b\d\d:\d\d:\d\d(?:\.\d+)?\b/g, '<time>'],
  [/\b\d+(?:\.\d+)? ?(?:µs|ms|s|m|h|d|sec|min|seconds?|minutes?|hours?|days?)\b/g, '<duration>'],
  [/\b[0-9a-f]{8}\b/g, '<fingerprint>'],
];

/** @returns nothing, or what differs and where */
export function outputDifference(shown: string, printed: string, { isStart = false } = {}): string | undefined {
  const expected = [...linesOf(shown), ...(isStart ? [ANY] : [])];
  const actual = linesOf(printed);
  if (isMatch(expected, actual)) return undefined;
  const bad = expected.findIndex((_line, index) => !isMatch([...expected.slice(0, index + 1), ANY], actual));
  const first =
    bad === -1 ? 'more was printed than the page shows' : `this line was not printed: ${shown.trim().split('\n')[bad]}`;
  return `${first}\n--- the page shows\n${shown.trimEnd()}\n--- the command printed\n${plainText(printed).trimEnd()}\n---`;
}

/** Without what a terminal obeys, and with what remains visible of a line that was written over. */
function plainText(text: string): string {
  return stripVTControlCharacters(text).replaceAll('\r\n', '\n').replaceAll(/^.*\r/gm, '');
}

function linesOf(text: string): string[] {
  const lines = plainText(text).split('\n').map(shapeOf);
  while (lines.at(-1) === '') lines.pop();
  while (lines[0] === '') lines.shift();
  return lines;
}

function shapeOf(line: string): string {
  const shaped = SHAPES.reduce((text, [pattern, name]) => text.replaceAll(pattern, name), line);
  return (
    shaped
      .replaceAll(/(?<=[\w\]]:)\d{4,5}\b/g, (port) => (DOCUMENTED_PORTS.has(port) ? port : '<port>'))
      // Columns move with the length of what is in them.
      .replaceAll(/(?<=\S) {2,}/g, '  ')
      .trimEnd()
  );
}

function isMatch(expected: readonly string[], actual: readonly string[]): boolean {
  const [first, ...rest] = expected;
  if (first === undefined) return actual.length === 0;
  if (first.trim() === ANY)
    return Array.from({ length: actual.length + 1 }, (_, from) => from).some((from) =>
      isMatch(rest, actual.slice(from)),
    );
  const [line, ...more] = actual;
  return line !== undefined && patternOf(first).test(line) && isMatch(rest, more);
}

const patternOf = (line: string) => new RegExp(`^${line.split(ANY).map(escaped).join('.*')}$`);

const escaped = (text: string) => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
