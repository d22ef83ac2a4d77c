/** One caller's connection: sends exact bytes, reads complete responses, and reports how the connection ended. */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { announcedEnd, type Message, readMessage, statusOf, valuesOf } from './messages.ts';
import { PATIENCE_MS } from './own-time.ts';

const LARGE = 65_536;

export interface Answer extends Message {
  readonly status: number;
  header(name: string): string | undefined;
  /** The body as JSON. */
  json(): Record<string, unknown>;
}

export interface Caller extends Disposable {
  readonly socket: Socket;
  /** Everything received, latin1. */
  readonly received: string;
  /** How the other side closed the connection; undefined while it is open. */
  readonly ending: 'end' | 'reset' | undefined;
  send(bytes: string | Buffer): void;
  /** Starts reading on a connection that was opened paused. */
  read(): void;
  /** The next response, 1xx included. Rejects when it is not complete in time or the connection ends within it. */
  answer(options?: { readonly toHead?: boolean; readonly timeoutMs?: number }): Promise<Answer>;
  /** Resolves when the other side has closed the connection. */
  ended(timeoutMs?: number): Promise<'end' | 'reset'>;
}

/** Opens a connection that stays open for writing when the other side half-closes it. */
export async function openCaller(port: number, { paused = false } = {}): Promise<Caller> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  let received = '';
  /** What no answer has been read from: searching in all that was received would copy it each time. */
  let unread = '';
  let ending: 'end' | 'reset' | undefined;
  let worthReadingAt = 0;
  let changed = Promise.withResolvers<void>();
  const change = () => {
    changed.resolve();
    changed = Promise.withResolvers();
  };
  const untilChange = async (deadline: number) => {
    const timer = setTimeout(change, deadline - Date.now() + 1);
    await changed.promise.finally(() => clearTimeout(timer));
    // A large answer in chunks is read from its start each time.
    if (unread.length > LARGE) await sleep(10);
  };
  const read = () => {
    socket.on('data', (chunk) => {
      const text = chunk.toString('latin1');
      received += text;
      unread += text;
      change();
    });
  };
  if (!paused) read();
  const next = (toHead: boolean, closed: boolean): Message | undefined => {
    if (!closed && unread.length < worthReadingAt) return undefined;
    const message = readMessage(unread, 0, { kind: 'response', toHead, closed });
    worthReadingAt = message || toHead ? 0 : announcedEnd(unread, 0);
    unread = unread.slice(message?.end ?? 0);
    return message;
  };
  socket.on('end', () => {
    ending ??= 'end';
    change();
  });
  socket.on('error', () => {
    ending ??= 'reset';
    change();
  });
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  return {
    socket,
    get received() {
      return received;
    },
    get ending() {
      return ending;
    },
    read,
    send: (bytes) => void socket.write(bytes, 'latin1'),
    async answer({ toHead = false, timeoutMs = PATIENCE_MS } = {}) {
      for (const deadline = Date.now() + timeoutMs; ; await untilChange(deadline)) {
        const over = ending;
        const message = next(toHead, over === 'end');
        if (message) return toAnswer(message);
        if (over !== undefined || Date.now() > deadline) {
          throw new Error(`no whole answer (${over ?? 'open'}): ${JSON.stringify(received.slice(-300))}`);
        }
      }
    },
    async ended(timeoutMs = PATIENCE_MS) {
      for (const deadline = Date.now() + timeoutMs; ; await untilChange(deadline)) {
        if (ending !== undefined) return ending;
        if (Date.now() > deadline) throw new Error(`still open after ${JSON.stringify(received.slice(-300))}`);
      }
    },
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

function toAnswer(message: Message): Answer {
  return {
    ...message,
    status: statusOf(message),
    header: (name) => valuesOf(message, name)[0],
    json: () => JSON.parse(message.body) as Record<string, unknown>,
  };
}
