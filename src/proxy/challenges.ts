/**
 * Reads `WWW-Authenticate` by its grammar (RFC 9110 §11.2, §11.6.1): a list of challenges whose parameters are separated by
 * the same comma as the challenges themselves, so that only the whole grammar tells a scheme from a word inside a quoted
 * string. What does not follow the grammar has no meaning here.
 */

export interface Challenge {
  /** In lower case. */
  readonly scheme: string;
  /** In order, with names in lower case; values without their quotes and escapes. */
  readonly parameters: readonly (readonly [name: string, value: string])[];
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const QUOTED = '"((?:[\\t \\x21\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t\\x20-\\x7e\\x80-\\xff])*)"';
const END = '(?=[\\t ]*(?:,|$))';
/** Empty elements of a list count for nothing (RFC 9110 §5.6.1.2). */
const SEPARATORS = /[\t ,]*/y;
const PARAMETER = new RegExp(`(${TOKEN})[\\t ]*=[\\t ]*(?:(${TOKEN})|${QUOTED})${END}`, 'y');
/** Alone, with a token68, or with parameters behind it. */
const SCHEME = new RegExp(`(${TOKEN})(?:${END}|[\\t ]+(?:[A-Za-z0-9._~+/-]+=*${END}|(?=${TOKEN}[\\t ]*=)))`, 'y');

/**
 * All challenges of a response, from every line of the field: lines are one list (RFC 9110 §5.3).
 * @returns undefined when any part of it breaks the grammar: where a string does not end, nobody can tell what follows
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

/** What a sticky pattern finds at exactly this place. */
function read(pattern: RegExp, text: string, at: number) {
  pattern.lastIndex = at;
  const match = pattern.exec(text);
  return match ? { parts: match.slice(1), end: at + match[0].length } : undefined;
}
