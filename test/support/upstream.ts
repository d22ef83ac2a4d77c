/** An API on a raw socket that reads complete requests with its own strict parser and responds with exact bytes. */
import type { Socket } from 'node:net';
import { announcedEnd, type Message, readMessage } from './messages.ts';
import { startRawUpstream } from './raw.ts';
import { until } from './until.ts';

export interface SeenRequest extends Message {
  readonly method: string;
  readonly target: string;
  readonly connection: number;
  readonly socket: Socket;
}

export interface ScriptedUpstream extends AsyncDisposable {
  readonly url: string;
  /** Complete requests, in the order in which they were completed. */
  readonly requests: readonly SeenRequest[];
  /** Bytes that are not (yet) a complete request, one entry per connection. */
  leftovers(): string[];
  /** Connections opened so far. */
  readonly connections: number;
  /** Connections closed so far, from either side. */
  readonly closed: number;
  /** Connections that have sent something. */
  readonly sockets: readonly Socket[];
  /** Everything received, one entry per connection. */
  readonly received: readonly string[];
  untilRequests(count: number): Promise<void>;
}

/** Latin1 bytes to send, or undefined when it responds itself or not at all. */
export type Answerer = (request: SeenRequest, index: number) => string | undefined;

export interface UpstreamHooks {
  /** Called with every piece of a request, also of incomplete ones. */
  readonly onBytes?: (socket: Socket, received: string) => void;
}

export async function startUpstream(answer: Answerer, hooks: UpstreamHooks = {}): Promise<ScriptedUpstream> {
  const requests: SeenRequest[] = [];
  const parsedTo: number[] = [];
  const worthParsingAt: number[] = [];
  const sockets: Socket[] = [];
  let closed = 0;
  const raw = await startRawUpstream((socket, received, connection) => {
    if (parsedTo[connection] === undefined) {
      parsedTo[connection] = 0;
      sockets.push(socket);
      socket.on('close', () => {
        closed += 1;
      });
    }
    hooks.onBytes?.(socket, received);
    while (received.length >= (worthParsingAt[connection] ?? 0)) {
      const message = readMessage(received, parsedTo[connection] ?? 0, { kind: 'request' });
      if (!message) {
        worthParsingAt[connection] = announcedEnd(received, parsedTo[connection] ?? 0);
        return;
      }
      parsedTo[connection] = message.end;
      const [method = '', target = ''] = message.startLine.split(' ');
      const request = { ...message, method, target, connection, socket };
      const bytes = answer(request, requests.push(request) - 1);
      if (bytes !== undefined) socket.write(bytes, 'latin1');
    }
  });
  return {
    url: raw.url,
    requests,
    sockets,
    received: raw.received,
    leftovers: () => raw.received.map((bytes, index) => bytes.slice(parsedTo[index] ?? 0)),
    get connections() {
      return raw.connections;
    },
    get closed() {
      return closed;
    },
    untilRequests: (count) => until(`${count} requests arrive`, () => requests.length >= count),
    [Symbol.asyncDispose]: () => raw.close(),
  };
}
