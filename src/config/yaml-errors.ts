/**
 * Turns errors of the YAML library into what to change in which line. Quotes only names of options: the wrong line may
 * be the one with a password.
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

/** Returns the mistakes of a document that could not be parsed, one per line. */
export function yamlMistakes(source: Source): YamlMistake[] {
  const mistakes = new Map<number, YamlMistake>();
  const errors = source.yaml.errors;
  for (const error of errors) {
    const others = errors.filter(({ pos }) => pos[0] === error.pos[0]).map(({ code }) => code);
    const { at = error.pos[0], message } = inWords(error, others, source);
    const { line, col } = source.lines.linePos(at);
    const text = message ?? `is not valid YAML at column ${col} (${error.code})`;
    if (!mistakes.has(line)) mistakes.set(line, { line, message: text });
  }
  return [...mistakes.values()];
}

const NO_COLON = 'is not `name: value`: put a colon and a space after the name';
const INDENT = 'has a different indentation than its group: indent all options of a group equally';
const RESERVED = 'has a value that begins with a reserved character of YAML (@ ` % * & !): put it in quotes';

/** Errors that their code alone explains. */
const WORDS: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'is indented with tabs: YAML allows only spaces',
  BAD_DQ_ESCAPE: 'has a \\ in double quotes, which starts an escape: put paths in single quotes',
  MULTILINE_IMPLICIT_KEY: NO_COLON,
  BAD_SCALAR_START: RESERVED,
  BAD_ALIAS: RESERVED,
  UNEXPECTED_TOKEN: 'has text after the end of a value: put the whole value in one pair of quotes',
  BLOCK_IN_FLOW: 'needs a comma inside { } or [ ], or quotes around a value',
  MULTIPLE_DOCS: 'starts a second document with `---`: keep only one document',
};

interface InWords {
  readonly message?: string | undefined;
  /** Where the mistake begins, if not where the library found it. */
  readonly at?: number;
}

function inWords(error: YAMLParseError, codesHere: readonly string[], source: Source): InWords {
  const { code, message, pos } = error;
  if (code === 'DUPLICATE_KEY') return { message: `${nameAt(pos[0], source)} occurs twice: keep one of them` };
  if (code === 'BLOCK_AS_IMPLICIT_KEY') {
    return codesHere.includes('MULTILINE_IMPLICIT_KEY')
      ? {
          message: 'has a value, but the next line is indented deeper: give both the same indentation',
        }
      : { message: 'has a value with `: ` in it: put the value in quotes' };
  }
  if (code === 'BAD_INDENT')
    return {
      message: /^Flow/.test(message) ? 'comes before { or [ is closed: close it, or indent this line' : INDENT,
    };
  if (code === 'MISSING_CHAR') return missing(message, pos[0], source);
  return { message: WORDS[code] };
}

function missing(message: string, at: number, source: Source): InWords {
  if (/^Missing closing/.test(message))
    return { message: 'opens a quote that is never closed', at: openQuote(at, source) };
  if (/^Implicit map keys/.test(message)) return { message: NO_COLON };
  if (/^Sequence item/.test(message)) return { message: INDENT };
  if (/^Missing ,/.test(message)) return { message: WORDS['BLOCK_IN_FLOW'] };
  return {};
}

/** Start of the quoted text that runs to `end` without a closing quote. */
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

/** Quotes only a plain word: anything else could be a secret. */
function nameAt(start: number, { text }: Source): string {
  const [, name] = /^([A-Za-z]{1,24})\s*:/.exec(text.slice(start, start + 100)) ?? [];
  return name === undefined ? 'an option' : `\`${name}\``;
}
