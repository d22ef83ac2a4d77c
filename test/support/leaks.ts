/**
 * Looks for a value in a text in every form that gives it back, by decoding the text: it shares nothing with the code that
 * masks values.
 */

type Decoding = readonly [name: string, decode: (text: string) => string];

const unescaped = (text: string) =>
  text.replace(/\\(?:u([0-9a-f]{4})|(.))/gi, (_, code: string | undefined, character: string) =>
    code === undefined ? character : String.fromCharCode(Number.parseInt(code, 16)),
  );
const unquoted = (text: string) =>
  text.replace(/%([0-9a-f]{2})/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
const fromRuns = (pattern: RegExp, decode: (run: string) => string) => (text: string) =>
  (text.match(pattern) ?? []).map(decode).join('\n');
const base64 = (run: string) =>
  [0, 1, 2, 3].map((from) => Buffer.from(run.slice(from), 'base64').toString('latin1')).join('\n');

const DECODINGS: readonly Decoding[] = [
  ['as it is', (text) => text],
  ['JSON escapes', unescaped],
  ['JSON in JSON', (text) => unescaped(unescaped(text))],
  ['JSON in JSON in JSON', (text) => unescaped(unescaped(unescaped(text)))],
  ['percent-encoded', unquoted],
  ['percent-encoded twice', (text) => unquoted(unquoted(text))],
  ['form-encoded', (text) => unquoted(text.replaceAll('+', ' '))],
  ['reversed', (text) => [...text].reverse().join('')],
  ['base64', fromRuns(/[\w+/-]{8,}/g, base64)],
  ['hexadecimal', fromRuns(/[0-9a-f]{8,}/gi, (run) => Buffer.from(run, 'hex').toString('latin1'))],
];

/** Characters of a value that give enough of it away. */
const PIECE = 8;

/** Returns the names of the forms in which the value, or eight characters of it in a row, are in the text. */
export function leaksOf(text: string, value: string): string[] {
  const pieces = Array.from({ length: Math.max(1, value.length - PIECE + 1) }, (_, at) => value.slice(at, at + PIECE));
  return DECODINGS.filter(([, decode]) => {
    const decoded = decode(text);
    return pieces.some((piece) => decoded.includes(piece));
  }).map(([name]) => name);
}
