/**
 * Parses `WWW-Authenticate` (RFC 9110 §11.2, §11.6.1). The same comma separates challenges and their parameters, so only the
 * full grammar distinguishes a scheme from a word inside a quoted string. A value that breaks the grammar is ignored.
 */

export interface Challenge {
  /** In lower case. */
  readonly scheme: string;
  /** In order; names in lower case, values without quotes and escapes. */
  readonly parameters: readonly (readonly [name: string, value: string])[];
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const QUOTED = '"((?:[\\t \\x21\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t\\x20-\\x7e\\x80-\\xff])*)"';
const END = '(?=[\\t ]*(?:,|$))';
/** Empty list elements are ignored (RFC 9110 §5.6.1.2). */
const SEPARATORS = /[\t ,]*/y;
const PARAMETER = new RegExp(`(${TOKEN})[\\t ]*=[\\t ]*(?:(${TOKEN})|${QUOTED})${END}`, 'y');
/** A scheme alone, with a token68, or followed by parameters. */
const SCHEME = new RegExp(`(${TOKEN})(?:${END}|[\\t ]+(?:[A-Za-z0-9._~+/-]+=*${END}|(?=${TOKEN}[\\t ]*=)))`, 'y');

/**
 * Returns all challenges of a response; all lines of the field form one list (RFC 9110 §5.3).
 * @returns undefined when any part breaks the grammar: after an unclosed string nothing can be interpreted
 * @example
 * readChallenges(['Bearer error="invalid_token"']); // [{ scheme: 'bearer', parameters: [['error', 'invalid_token']] }]
 */
export function readChallenges(lines: readonly string[]): readonly Challenge[] | undefined {
  const text = lines.join(', ');
  const challenges: { scheme: string; parameters: [string, string][] }[] = [];
  let at = read(SEPARATORS, text, 0)?.end ?? 0;
  while (at < text.length) {
    const parameter = read(PARAMETER, text, at);
    const found = parameter ?? read(SCHEME, text, at);
    const last = challenges.at(-1);
    if (!found || (parameter && !last)) return undefined;
    const [name = '', token, quoted = ''] = found.parts;
    if (parameter) last?.parameters.push([name.toLowerCase(), token ?? quoted.replace(/\\(.)/gs, '$1')]);
    else challenges.push({ scheme: name.toLowerCase(), parameters: [] });
    at = read(SEPARATORS, text, found.end)?.end ?? found.end;
  }
  return challenges;
}

/** Matches a sticky pattern at exactly this position. */
function read(pattern: RegExp, text: string, at: number) {
  pattern.lastIndex = at;
  const match = pattern.exec(text);
  return match ? { parts: match.slice(1), end: at + match[0].length } : undefined;
}
