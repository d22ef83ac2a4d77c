/**
 * Output of the IAM commands: results on standard output, progress and questions on standard error. Hides who reads them:
 * a person, a program, or nobody any more.
 */
import type { Writable } from 'node:stream';
import { createReport, type Line, visible } from '../../core/terminal.ts';
import type { OnPage } from '../../iam/pagination.ts';

export interface Printer {
  readonly json: boolean;
  /** Writes one result. Returns false once nobody reads any more. */
  line(line: Line): Promise<boolean>;
  /** Writes lines for people. */
  text(lines: string): Promise<boolean>;
  /** Makes text from a server safe to print. */
  readonly cell: (text: string) => string;
  /** Shows the progress of a long list on a terminal. */
  readonly onPage: OnPage;
  /** Removes the progress line. */
  readonly settle: () => void;
}

type Stream = Writable & { readonly isTTY?: boolean };

export interface Streams {
  readonly out: Stream;
  readonly err: Stream;
}

/** Shorter lists arrive too fast for a progress line. */
const LONG = 100;
const ERASE_LINE = '\r\x1b[K';

export function createPrinter({ out, err }: Streams, forceJson: boolean): Printer {
  let watched = false;
  let unread = false;
  // Node makes a failed standard output writable again, so its state does not show the failure.
  out.on('error', () => {
    unread = true;
  });
  const clear = () => {
    if (watched) err.write(ERASE_LINE);
    watched = false;
  };
  const write = async (text: string): Promise<boolean> => {
    clear();
    if (!unread && !out.write(text)) await drained(out);
    return !unread;
  };
  const pieces: string[] = [];
  const sink = { isTTY: out.isTTY, write: (text: string) => pieces.push(text) };
  const report = createReport(sink, forceJson);
  return {
    json: report.json,
    line(line) {
      report.line(line);
      return write(pieces.splice(0).join(''));
    },
    text: write,
    cell: visible,
    onPage(received, total) {
      if (!err.isTTY || received < LONG || (total !== undefined && total <= received)) return clear();
      watched = true;
      err.write(`${ERASE_LINE}${received} ${total === undefined ? 'so far' : `of ${total}`} …`);
    },
    settle: clear,
  };
}

/** Waits until the stream has room again or nobody reads it. */
function drained(stream: Writable): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const ends = ['drain', 'close', 'error'] as const;
  for (const event of ends) stream.once(event, resolve);
  return promise.finally(() => {
    for (const event of ends) stream.off(event, resolve);
  });
}
