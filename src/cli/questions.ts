/**
 * Questions to a person at a terminal, on standard error, so that standard output holds the result only. Ctrl-C ends the
 * program as usual, also while a secret is typed.
 */
import { createInterface } from 'node:readline';
import { SidecarError } from '../core/errors.ts';
import { Secret } from '../core/secret.ts';

export interface Questions {
  /** Asks until `judge` accepts; an empty reply means the fallback. @throws SidecarError at the end of input */
  ask(question: Question): Promise<string>;
  /** Ends the questions by line; a secret can be asked for afterwards. */
  close(): void;
}

export interface Question {
  readonly text: string;
  /** Shown in brackets. */
  readonly fallback?: string;
  /** Returns what is wrong with a reply. */
  readonly judge?: (reply: string) => string | undefined;
}

const CTRL_C = '\u0003';
const CTRL_D = '\u0004';
/** Arrow keys, and the marks around pasted text. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: it is these that are removed
const SEQUENCES = /\u001b(?:\[[0-9;]*[A-Za-z~]|.)/g;

/** Creates the questions; keep one per program run, because it may have read lines that are not asked for yet. */
export function createQuestions(input: NodeJS.ReadableStream, output: NodeJS.WritableStream): Questions {
  // Not key by key: the terminal itself handles corrections and Ctrl-C.
  const reader = createInterface({ input, terminal: false });
  const replies = reader[Symbol.asyncIterator]();
  return {
    async ask({ text, fallback, judge }) {
      for (;;) {
        output.write(fallback === undefined ? `${text}: ` : `${text} [${fallback}]: `);
        const { value, done } = await replies.next();
        if (done) throw endOfInput();
        const reply = String(value).trim() || fallback || '';
        const problem = judge?.(reply);
        if (problem === undefined) return reply;
        output.write(`   ${problem}\n`);
      }
    },
    close: () => reader.close(),
  };
}

/** A terminal whose echo can be switched off. */
export interface Keyboard extends NodeJS.ReadableStream {
  setRawMode(on: boolean): unknown;
}

/**
 * Asks for a secret, which does not appear on the screen; undefined when nothing is typed.
 * @throws SidecarError at the end of input
 */
export async function askHidden(
  text: string,
  input: Keyboard,
  output: NodeJS.WritableStream,
): Promise<Secret | undefined> {
  // First: what is typed before would appear on the screen.
  input.setRawMode(true);
  output.write(`${text}: `);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const line = createLine();
  const onData = (chunk: Buffer | string) => {
    const end = line.type(String(chunk));
    if (end === 'done') resolve(line.text());
    else if (end === 'no more') reject(endOfInput());
    else if (end === 'interrupted') {
      // Raw mode keeps the terminal from doing this.
      input.setRawMode(false);
      process.kill(process.pid, 'SIGINT');
    }
  };
  input.on('data', onData).on('end', () => reject(endOfInput()));
  input.resume();
  try {
    const reply = (await promise).trim();
    return reply === '' ? undefined : new Secret(reply);
  } finally {
    input.off('data', onData);
    input.setRawMode(false);
    input.pause();
    output.write('\n');
  }
}

const ENDS = new Map([
  ['\r', 'done'],
  ['\n', 'done'],
  [CTRL_D, 'no more'],
  [CTRL_C, 'interrupted'],
] as const);

/** A line that grows key by key. */
function createLine() {
  let typed = '';
  return {
    text: () => typed,
    /** Returns how the line ends; undefined while it does not. */
    type(keys: string): 'done' | 'no more' | 'interrupted' | undefined {
      for (const key of keys.replace(SEQUENCES, '')) {
        const end = ENDS.get(key as '\r');
        if (end !== undefined) return end;
        if (key === '\u007f' || key === '\b') typed = typed.slice(0, -1);
        else if (key >= ' ') typed += key;
      }
      return undefined;
    },
  };
}

function endOfInput(): SidecarError {
  const message = 'ended before the last question; nothing was written';
  return new SidecarError('CONFIG_INVALID', { problems: [{ where: 'standard input', path: '', message }] });
}
