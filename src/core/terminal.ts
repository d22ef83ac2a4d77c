/**
 * Output of commands: text for a person at a terminal, else one JSON object per line. Names that come from servers may
 * contain control characters or bidirectional overrides; these are printed as escapes, never sent to the terminal.
 */

/** Includes unpaired surrogates and the Unicode line and paragraph separators. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** Returns the text on one line, with every unsafe character escaped as `\u001b`. */
export function visible(text: string): string {
  return text.replace(UNSAFE, escaped);
}

/** As `visible`, but keeps line feeds. JSON keeps its meaning: unsafe characters occur only inside strings. */
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

/** Creates a report that prints JSON unless `output` is a terminal. @param forceJson true with `--json` */
export function createReport(output: Output, forceJson: boolean): Report {
  const json = forceJson || output.isTTY !== true;
  return {
    json,
    line: ({ text, data }) => void output.write(`${visibleLines(json ? JSON.stringify(data) : text)}\n`),
  };
}
