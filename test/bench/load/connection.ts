/** One keep-alive connection of the load generator: sends a request, waits for the whole response and checks it. */
import { connect, type Socket } from 'node:net';
import type { LoadJob } from './job.ts';
import { MessageReader } from './wire.ts';

const PIECE = Buffer.alloc(64 * 1024, 'x');
/** A body up to this size leaves with its head in one write. */
const WHOLE_BYTES = 64 * 1024;

/** @param error undefined for a complete 2xx response */
export type OnAnswer = (ms: number, error: string | undefined, bodyBytes: number) => void;

export interface Connection {
  /** Sends one request; opens the socket if there is none. Call only after the last response. */
  ask(onResponse: OnAnswer): void;
  /** Resolves when the socket is connected. */
  open(): Promise<void>;
  close(): void;
}

export function requestBytes({ method, path, port, sendBytes, shape, authorization }: LoadJob): Buffer {
  const length = method === 'POST' ? `Content-Type: application/octet-stream\r\nContent-Length: ${sendBytes}\r\n` : '';
  const connection = shape === 'new' ? 'Connection: close\r\n' : '';
  const more = authorization === undefined ? '' : `Authorization: ${authorization}\r\n`;
  const head = `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAccept: application/json\r\nUser-Agent: bench\r\n${connection}${more}${length}\r\n`;
  const body = sendBytes <= WHOLE_BYTES ? Buffer.alloc(sendBytes, 'x') : Buffer.alloc(0);
  return Buffer.concat([Buffer.from(head), body]);
}

export function createConnection(job: LoadJob, request: Buffer): Connection {
  let socket: Socket | undefined;
  let waiting: { readonly onResponse: OnAnswer; readonly at: number } | undefined;

  const answered = (error: string | undefined, bodyBytes: number) => {
    const asked = waiting;
    waiting = undefined;
    asked?.onResponse(performance.now() - asked.at, error, bodyBytes);
  };
  const drop = (error: string) => {
    socket?.destroy();
    socket = undefined;
    answered(error, 0);
  };
  const dial = (): Socket => {
    const own = connect({ port: job.port, host: '127.0.0.1', noDelay: true });
    const reader = new MessageReader((head, bodyBytes) => {
      if (job.shape === 'new' || /\r\nconnection: *close/i.test(head)) {
        own.destroy();
        socket = undefined;
      }
      answered(judge(head, bodyBytes, job.expectBytes), bodyBytes);
    });
    own.on('data', (piece: Buffer) => reader.feed(piece));
    own.on('error', (error: NodeJS.ErrnoException) => own === socket && drop(error.code ?? 'error'));
    // An idle connection may be closed at any time, but not one that waits for a response.
    own.on('close', () => own === socket && drop('closed'));
    return own;
  };

  return {
    ask(onResponse) {
      waiting = { onResponse, at: performance.now() };
      socket ??= dial();
      socket.write(request);
      if (job.sendBytes > WHOLE_BYTES) upload(socket, job.sendBytes);
    },
    open: () =>
      new Promise((resolve, reject) => {
        socket = dial().once('connect', resolve).once('error', reject);
      }),
    close() {
      const own = socket;
      socket = undefined;
      own?.destroy();
    },
  };
}

function judge(head: string, bodyBytes: number, expectBytes: number): string | undefined {
  const status = head.slice(9, 12);
  if (!status.startsWith('2')) return `status ${status}`;
  return bodyBytes === expectBytes ? undefined : `body of ${bodyBytes} bytes`;
}

function upload(socket: Socket, bytes: number): void {
  let left = bytes;
  const more = () => {
    while (left > 0 && !socket.destroyed) {
      const piece = left < PIECE.length ? PIECE.subarray(0, left) : PIECE;
      left -= piece.length;
      if (!socket.write(piece)) {
        socket.once('drain', more);
        return;
      }
    }
  };
  more();
}
