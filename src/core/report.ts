/**
 * What commands print: text for a person at a terminal, one JSON object a line for everything else, from one call.
 * Whatever a server has called its things, nothing that a terminal would obey gets through.
 */
import { visibleLines } from './terminal-text.ts';

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
