/**
 * What the YAML library says of a file, in words of somebody who writes one: what to change in which line. Quotes nothing of
 * it but names of options, since the line that is wrong may be the one with a password on it.
 */
import { type Document, isScalar, type LineCounter, visit, type YAMLParseError } from 'yaml';

interface YamlMistake {
  readonly line: number;
  readonly message: string;
}

interface Source {
  readonly yaml: Document;
  readonly lines: LineCounter;
  readonly text: string;
}

/** Those of a document that could not be parsed, one for each line. */
export function yamlMistakes(source: Source): YamlMistake[] {
  const mistakes = new Map<number, YamlMistake>();
  const errors = source.yaml.errors;
  for (const error of errors) {
    const others = errors.filter(({ pos }) => pos[0] === error.pos[0]).map(({ code }) => code);
    const { at = error.pos[0], message } = inWords(error, others, source);
    const { line, col } = source.lines.linePos(at);
    const text = message ?? `is no valid YAML at column ${col} (${error.code})`;
    if (!mistakes.has(line)) mistakes.set(line, { line, message: text });
  }
  return [...mistakes.values()];
}

const NO_COLON = 'has no `name: value`: put a colon and a blank behind the name';
const INDENT = 'is not indented as the lines it belongs to: give options of one group the same number of spaces';
const RESERVED = 'has a value that begins with a character reserved in YAML, such as @ ` % * & or !: put it in quotes';

/** By code alone. */
const WORDS: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'tabs cannot indent YAML, use spaces',
  BAD_DQ_ESCAPE: 'has a \\ in double quotes, which begins an escape: put paths in single quotes',
  MULTILINE_IMPLICIT_KEY: NO_COLON,
  BAD_SCALAR_START: RESERVED,
  BAD_ALIAS: RESERVED,
  UNEXPECTED_TOKEN: 'has something behind a value that is over: put the whole value in one pair of quotes',
  BLOCK_IN_FLOW: 'lacks a comma between { } or [ ], or quotes around a value',
  MULTIPLE_DOCS: 'has a second document behind `---`: keep one of them',
};

interface InWords {
  readonly message?: string | undefined;
  /** Where it begins, if not where the library noticed. */
  readonly at?: number;
}

function inWords(error: YAMLParseError, codesHere: readonly string[], source: Source): InWords {
  const { code, message, pos } = error;
  if (code === 'DUPLICATE_KEY') return { message: `${nameAt(pos[0], source)} stands twice: keep one of them` };
  if (code === 'BLOCK_AS_IMPLICIT_KEY') {
    return codesHere.includes('MULTILINE_IMPLICIT_KEY')
      ? {
          message: 'has a value, but the next line is indented as if it belonged to it: give both the same indentation',
        }
      : { message: 'has a value with `: ` in it: put the value in quotes' };
  }
  if (code === 'BAD_INDENT')
    return {
      message: /^Flow/.test(message) ? 'comes before a { or [ is closed: close it, or indent this line' : INDENT,
    };
  if (code === 'MISSING_CHAR') return missing(message, pos[0], source);
  return { message: WORDS[code] };
}

function missing(message: string, at: number, source: Source): InWords {
  if (/^Missing closing/.test(message))
    return { message: 'opens a quote that nothing closes', at: openQuote(at, source) };
  if (/^Implicit map keys/.test(message)) return { message: NO_COLON };
  if (/^Sequence item/.test(message)) return { message: INDENT };
  if (/^Missing ,/.test(message)) return { message: WORDS['BLOCK_IN_FLOW'] };
  return {};
}

/** Of a text in quotes that goes on until where its end is missed. */
function openQuote(end: number, { yaml }: Source): number {
  let start = end;
  visit(yaml, {
    Scalar(_key, node) {
      const { type, range } = node;
      if (isScalar(node) && type?.startsWith('QUOTE') && range && range[1] >= end) start = range[0];
    },
  });
  return start;
}

/** A plain word: of what else may stand there, a secret could be one. */
function nameAt(start: number, { text }: Source): string {
  const [, name] = /^([A-Za-z]{1,24})\s*:/.exec(text.slice(start, start + 100)) ?? [];
  return name === undefined ? 'an option' : `\`${name}\``;
}
