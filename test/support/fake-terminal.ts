/** A stream that is a terminal, or not, and keeps what is written to it. */
import { Writable } from 'node:stream';

export interface FakeTerminal {
  readonly stream: Writable & { readonly isTTY: boolean };
  text(): string;
}

/** @param consume called for every piece; the stream waits for its promise before the next one */
export function createFakeTerminal(
  isTTY: boolean,
  consume: () => Promise<void> | void = () => undefined,
): FakeTerminal {
  let text = '';
  const stream = new Writable({
    highWaterMark: 1024,
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      Promise.resolve(consume()).then(
        () => done(),
        (error: Error) => done(error),
      );
    },
  });
  return { stream: Object.assign(stream, { isTTY }), text: () => text };
}
