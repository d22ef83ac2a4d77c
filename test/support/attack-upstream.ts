/**
 * The API of the attack suite: one port for all rows, cleared between them. It records every byte. Unlike the strict
 * scripted API it continues after bytes that are not HTTP, because a failing control sends such bytes.
 */
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { announcedEnd, type Message, readMessage } from './messages.ts';
import { ok } from './raw.ts';

export interface ReachedRequest extends Message {
  readonly method: string;
  readonly target: string;
  readonly socket: Socket;
}

/** Returns latin1 bytes to send; undefined = responds itself, or not at all. */
export type Script = (request: ReachedRequest, index: number) => string | undefined;

export interface AttackUpstream extends AsyncDisposable {
  readonly url: string;
  /** `127.0.0.1:PORT`. */
  readonly authority: string;
  /** Complete requests since the last reset. */
  readonly requests: readonly ReachedRequest[];
  /** Everything received since the last reset, one entry per connection. */
  readonly received: readonly string[];
  /** Open connections. */
  readonly open: number;
  /** Received bytes that are not a complete request. */
  leftovers(): string;
  script(next: Script): void;
  /** Called with every piece, also of incomplete requests. */
  onBytes(listener: (socket: Socket, received: string) => void): void;
  /** Closes all connections and forgets everything. */
  reset(): void;
}

interface Connection {
  readonly socket: Socket;
  bytes: string;
  parsedTo: number;
  /** With fewer bytes the next request is not complete. */
  worthParsingAt: number;
  broken: boolean;
}

const FINE: Script = ({ method }) => ok(method === 'HEAD' ? '' : 'fine');

export async function startAttackUpstream(): Promise<AttackUpstream> {
  let connections: Connection[] = [];
  let requests: ReachedRequest[] = [];
  let answer = FINE;
  let listener: ((socket: Socket, received: string) => void) | undefined;
  const read = (connection: Connection) => {
    for (let request = nextRequest(connection); request; request = nextRequest(connection)) {
      const bytes = request.target === '/barrier' ? ok('fine') : answer(request, requests.length);
      requests.push(request);
      if (bytes !== undefined && request.socket.writable) request.socket.write(bytes, 'latin1');
    }
  };
  const server = createServer({ noDelay: true }, (socket) => {
    const connection: Connection = { socket, bytes: '', parsedTo: 0, worthParsingAt: 0, broken: false };
    connections.push(connection);
    socket
      .on('error', () => undefined)
      .on('data', (chunk) => {
        connection.bytes += chunk.toString('latin1');
        listener?.(socket, connection.bytes);
        read(connection);
      });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const authority = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const reset = () => {
    for (const { socket } of connections) socket.destroy();
    [connections, requests, answer, listener] = [[], [], FINE, undefined];
  };
  return {
    url: `http://${authority}`,
    authority,
    get requests() {
      return requests;
    },
    get received() {
      return connections.map(({ bytes }) => bytes);
    },
    get open() {
      return connections.filter(({ socket }) => !socket.destroyed).length;
    },
    leftovers: () => connections.map(({ bytes, parsedTo }) => bytes.slice(parsedTo)).join(''),
    script(next) {
      answer = next;
    },
    onBytes(next) {
      listener = next;
    },
    reset,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      reset();
      await closed;
    },
  };
}

function nextRequest(connection: Connection): ReachedRequest | undefined {
  if (connection.broken || connection.bytes.length < connection.worthParsingAt) return undefined;
  try {
    const message = readMessage(connection.bytes, connection.parsedTo, { kind: 'request' });
    connection.worthParsingAt = message ? 0 : announcedEnd(connection.bytes, connection.parsedTo);
    if (!message) return undefined;
    connection.parsedTo = message.end;
    const [method = '', target = ''] = message.startLine.split(' ');
    return { ...message, method, target, socket: connection.socket };
  } catch {
    connection.broken = true;
    connection.socket.destroy();
    return undefined;
  }
}
