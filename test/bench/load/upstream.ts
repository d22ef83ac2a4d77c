/**
 * The API, the identity server and the receiver of traces for every subject, one process on raw sockets. Responds 401 without a token, so that a
 * subject without a token has no valid round. Sends its ports as a message, and the number of token requests on demand.
 * Arguments: none, or the PEM files of a certificate and its key, which open a second port with TLS.
 */
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { MessageReader } from './wire.ts';

const MIB = 1024 * 1024;
const CHUNK = Buffer.alloc(64 * 1024, 'x');
const SMALL = answer('200 OK', Buffer.from(JSON.stringify({ account: 'x'.repeat(686 - 14) })));
const UNAUTHORIZED = answer('401 Unauthorized', Buffer.from('no token'), 'WWW-Authenticate: Bearer\r\n');
const NOTHING = answer('200 OK', Buffer.alloc(0));
const MEBIBYTE = answer('200 OK', Buffer.alloc(MIB, 'x'));
const AUTHORIZATION = /\r\nauthorization: (Bearer \S+)/i;

/** Message to this process: send the held responses of `/connect/held`, or the count. */
export type UpstreamOrder = 'release' | 'count';
/** Sent once, when it listens. */
export interface UpstreamPorts {
  readonly port: number;
  /** Undefined without a certificate. */
  readonly tlsPort: number | undefined;
}
/** Its reply to `count`. */
export interface UpstreamCount {
  readonly tokenRequests: number;
}

let tokenRequests = 0;
let held: (() => void)[] = [];

function answer(status: string, body: Buffer, more = ''): Buffer {
  const head = `HTTP/1.1 ${status}\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n${more}Content-Length: ${body.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}

function grant(socket: Socket, lifetimeS: number): void {
  const token = { access_token: `token-of-the-bench-${tokenRequests}`, token_type: 'Bearer', expires_in: lifetimeS };
  socket.write(answer('200 OK', Buffer.from(JSON.stringify(token))));
}

function tokenAnswer(socket: Socket, path: string): void {
  tokenRequests += 1;
  if (path === '/connect/held') held.push(() => grant(socket, 3600));
  else grant(socket, Number(path.slice('/connect/'.length)));
}

/** Sends as many bytes as the path asks for, as fast as the reader takes them. */
function stream(socket: Socket, bytes: number): void {
  socket.write(`HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: ${bytes}\r\n\r\n`);
  let left = bytes;
  const more = () => {
    while (left > 0) {
      const piece = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
      left -= piece.length;
      if (!socket.write(piece)) {
        socket.once('drain', more);
        return;
      }
    }
  };
  more();
}

function reply(socket: Socket, head: string, bodyBytes: number): void {
  const path = head.slice(head.indexOf(' ') + 1, head.indexOf(' HTTP/'));
  if (path.startsWith('/connect/')) tokenAnswer(socket, path);
  else if (path.startsWith('/api/bytes/') && AUTHORIZATION.test(head))
    stream(socket, Number(path.slice('/api/bytes/'.length)));
  else if (/\r\nconnection: *close/i.test(head)) socket.end(closing(answerTo(head, path, bodyBytes)));
  else socket.write(answerTo(head, path, bodyBytes));
}

function answerTo(head: string, path: string, bodyBytes: number): Buffer {
  const authorization = AUTHORIZATION.exec(head)?.[1];
  if (path === '/v1/traces') return NOTHING;
  if (authorization === undefined) return UNAUTHORIZED;
  if (path === '/api/seen') return answer('200 OK', Buffer.from(authorization));
  if (path === '/api/mebibyte') return MEBIBYTE;
  if (head.startsWith('POST')) return answer('200 OK', Buffer.from(String(bodyBytes).padStart(12)));
  return SMALL;
}

/** Confirms `Connection: close` to a proxy that asks for it; otherwise it would use the connection again. */
function closing(message: Buffer): Buffer {
  const at = message.indexOf('\r\n') + 2;
  return Buffer.concat([message.subarray(0, at), Buffer.from('Connection: close\r\n'), message.subarray(at)]);
}

const serve = (socket: Socket) => {
  const reader = new MessageReader((head, bodyBytes) => reply(socket, head, bodyBytes));
  socket.on('data', (piece: Buffer) => reader.feed(piece)).on('error', () => socket.destroy());
};
const listen = (server: Server) =>
  new Promise<number>((resolve) => {
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => resolve((server.address() as AddressInfo).port));
  });

process.on('message', (order: UpstreamOrder) => {
  if (order === 'count') process.send?.({ tokenRequests } satisfies UpstreamCount);
  else {
    for (const letGo of held) letGo();
    held = [];
  }
});
process.on('disconnect', () => process.exit());

const [, , certFile, keyFile] = process.argv;
const port = await listen(createServer({ noDelay: true }, serve));
const tlsPort =
  certFile && keyFile
    ? await listen(createTlsServer({ cert: readFileSync(certFile), key: readFileSync(keyFile), noDelay: true }, serve))
    : undefined;
process.send?.({ port, tlsPort } satisfies UpstreamPorts);
