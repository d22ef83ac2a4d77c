/** Sends exact bytes in the given pieces on one connection, and returns the first final response. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { type Message, readMessage, statusOf } from './messages.ts';
import { PATIENCE_MS } from './own-time.ts';

export interface AskOptions {
  /** Time limit for a response or the end of the connection, ms. */
  readonly limitMs?: number;
  /** Pause between pieces, so that the other side reads them one by one. */
  readonly pauseMs?: number;
}

/** @returns undefined when the other side closed the connection without a complete response */
export async function ask(
  port: number,
  pieces: readonly Buffer[],
  { limitMs = PATIENCE_MS, pauseMs = 1 }: AskOptions = {},
): Promise<Message | undefined> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => undefined);
  const answer = firstAnswer(socket, limitMs);
  try {
    await once(socket, 'connect');
    for (const [index, piece] of pieces.entries()) {
      if (index > 0) await setTimeout(pauseMs);
      if (socket.writable) socket.write(piece);
    }
    return await answer;
  } finally {
    socket.destroy();
  }
}

function firstAnswer(socket: Socket, limitMs: number): Promise<Message | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Message | undefined>();
  let received = '';
  let readTo = 0;
  const read = (closed: boolean): Message | undefined => {
    const message = readMessage(received, readTo, { kind: 'response', closed });
    if (message === undefined || statusOf(message) >= 200) return message;
    readTo = message.end;
    return read(closed);
  };
  socket.setTimeout(limitMs, () => reject(new Error(`neither answer nor end; so far ${JSON.stringify(received)}`)));
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
    const message = read(false);
    if (message) resolve(message);
  });
  socket.on('close', () => resolve(read(true)));
  return promise;
}
