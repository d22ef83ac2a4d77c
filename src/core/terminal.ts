/**
 * What commands print: text for a person at a terminal, one JSON object a line for everything else. Names that servers have
 * given may hold what a terminal obeys or what turns text around (control characters, bidirectional overrides); it is shown,
 * never sent.
 */

/** Also unpaired surrogates, and the separators that some programs take for the end of a line. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** On one line, with every unsafe character as `\u001b`. */
export function visible(text: string): string {
  return text.replace(UNSAFE, escaped);
}

/** The same for several lines. JSON says the same afterwards: what is unsafe in it stands within strings. */
export function visibleLines(text: string): string {
  return text.replace(UNSAFE, (character) => (character === '\n' ? character : escaped(character)));
}

function escaped(character: string): string {
  return Array.from({ length: character.length }, (_, index) => {
    return `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`;
  }).join('');
}

export interface Line {
  /** For people. */
  readonly text: string;
  /** For programs. */
  readonly data: Readonly<Record<string, unknown>>;
}

export interface Report {
  readonly json: boolean;
  line(line: Line): void;
}

export interface Output {
  readonly isTTY?: boolean | undefined;
  write(text: string): unknown;
}

/** @param forceJson what `--json` says */
export function createReport(output: Output, forceJson: boolean): Report {
  const json = forceJson || output.isTTY !== true;
  return {
    json,
    line: ({ text, data }) => void output.write(`${visibleLines(json ? JSON.stringify(data) : text)}\n`),
  };
}
