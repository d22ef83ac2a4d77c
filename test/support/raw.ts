/** Bytes on sockets: an upstream that records and responds exactly, a caller that sends exactly. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { PATIENCE_MS } from './own-time.ts';

export interface RawUpstream {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string;
  /** Everything received, one entry per connection, as latin1. */
  readonly received: readonly string[];
  readonly connections: number;
  /** Resolves when the received bytes of any connection satisfy the predicate. */
  until(predicate: (received: readonly string[]) => boolean): Promise<void>;
  close(): Promise<void>;
}

/**
 * @param onData called with everything a connection has sent so far, whenever more arrives
 */
export async function startRawUpstream(
  onData: (socket: Socket, received: string, connection: number) => void,
): Promise<RawUpstream> {
  const received: string[] = [];
  const sockets = new Set<Socket>();
  const waiting = new Set<() => void>();
  const server = createServer((socket) => {
    const connection = received.push('') - 1;
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    socket.on('data', (chunk) => {
      received[connection] += chunk.toString('latin1');
      onData(socket, received[connection] ?? '', connection);
      for (const check of waiting) check();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    get connections() {
      return received.length;
    },
    until: (predicate) =>
      new Promise((resolve) => {
        const check = () => {
          if (!predicate(received)) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** Responds with fixed bytes to a complete request (ended by a blank line; bodies are up to the test). */
export function answerAfterHead(answer: string) {
  return (socket: Socket, received: string): void => {
    if (received.endsWith('\r\n\r\n')) socket.write(answer, 'latin1');
  };
}

/** A plain 200 with a body. */
export function ok(body: string, headers = ''): string {
  return `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`;
}

/**
 * Sends bytes and collects the response until the other side closes.
 * @param hold true keeps this side open after sending; false half-closes it
 */
export function exchange(port: number, bytes: string, { hold = true, timeoutMs = PATIENCE_MS } = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    socket.setTimeout(timeoutMs, () => {
      socket.destroy();
      reject(new Error(`no end of answer within ${timeoutMs} ms; so far: ${JSON.stringify(answer)}`));
    });
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1');
    });
    // A reset is a result, too: the caller saw what came before it.
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(answer));
    socket.on('connect', () => {
      if (hold) socket.write(bytes, 'latin1');
      else socket.end(bytes, 'latin1');
    });
  });
}
