/** An identity server on raw sockets that misbehaves as a test says, byte by byte, and records its requests. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { listenApart } from './free-port.ts';
import { type Message, readMessage } from './messages.ts';

/** Handles one complete token request. `count` is its number, from 1. */
export type Fault = (socket: Socket, count: number) => void;

export interface FaultServer {
  /** Whole URL of the token endpoint. */
  readonly url: string;
  readonly requests: readonly Message[];
  readonly connections: number;
  /** Open connections. */
  readonly open: number;
  /** Bytes of endless bodies passed to the system so far. */
  readonly sent: { bytes: number };
  behave(fault: Fault): void;
  /** Stops listening, and cuts all connections. */
  refuse(): Promise<void>;
  /** Listens again on the same port. */
  resume(): Promise<void>;
  close(): Promise<void>;
}

export interface FaultServerOptions {
  readonly secure?: boolean;
  /** Called when nothing more that matters will be sent, so that the test need not wait. */
  readonly onSilence?: () => void;
}

export async function startFaultServer(
  initial: Fault,
  { secure = false, onSilence = () => undefined }: FaultServerOptions = {},
): Promise<FaultServer> {
  const requests: Message[] = [];
  const sockets = new Set<Socket>();
  const sent = { bytes: 0 };
  let fault = initial;
  let connections = 0;
  const server: Server = secure ? createTlsServer(selfSigned()) : createServer();
  server.on('connection', (socket: Socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
  });
  server.on('tlsClientError', () => undefined);
  server.on(secure ? 'secureConnection' : 'connection', (socket: Socket) => {
    let received = '';
    let parsedTo = 0;
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      const message = readMessage(received, parsedTo, { kind: 'request' });
      if (!message) return;
      parsedTo = message.end;
      fault(counted(socket, { sent, onSilence }), requests.push(message));
    });
  });
  const listen = (port: number) => new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  // Its own port for the whole test, also while it does not listen.
  const port = await listenApart(server);
  const refuse = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });
  return {
    url: `${secure ? 'https' : 'http'}://127.0.0.1:${port}/connect/token`,
    requests,
    get connections() {
      return connections;
    },
    get open() {
      return sockets.size;
    },
    sent,
    behave(next) {
      fault = next;
    },
    refuse,
    resume: () => listen(port),
    close: () => (server.listening ? refuse() : Promise.resolve()),
  };
}

interface Behind {
  readonly sent: { bytes: number };
  readonly onSilence: () => void;
}

const behind = new WeakMap<Socket, Behind>();

function counted(socket: Socket, server: Behind): Socket {
  behind.set(socket, server);
  return socket;
}

/** Nothing more will be sent on this connection. */
export const silent = (socket: Socket): void => behind.get(socket)?.onSilence();

/** A complete response with a length. */
export function status(code: number, body = '', headers: Readonly<Record<string, string>> = {}): Fault {
  const bytes = Buffer.from(body);
  return (socket) => {
    socket.write(head(code, { 'Content-Length': String(bytes.length), ...headers }));
    socket.write(bytes);
  };
}

/** A 200 with that JSON. */
export function body(value: unknown): Fault {
  return status(200, typeof value === 'string' ? value : JSON.stringify(value));
}

/** Takes the request and never responds. */
export const hang: Fault = silent;

export const reset: Fault = (socket) => void socket.resetAndDestroy();

/** Sends exactly these bytes. */
export function bytes(text: string): Fault {
  return (socket) => void socket.write(text, 'latin1');
}

/** A head that promises more than arrives within hours: one byte every 20 ms. */
export const drip: Fault = (socket) => {
  socket.write(head(200, { 'Content-Length': '10000000' }));
  let drops = 0;
  const timer = setInterval(() => {
    socket.write(' ');
    drops += 1;
    if (drops === 5) silent(socket);
  }, 20);
  socket.on('close', () => clearInterval(timer));
};

const PIECE = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(0x1_0000, 0x20), Buffer.from('\r\n')]);
/** Enough to see who continues to read, not enough to slow the machine. */
const ENOUGH_BYTES = 64 * 1024 * 1024;

/** Chunks without end; stops at 64 MiB and leaves the body open. */
export const endless: Fault = (socket) => {
  socket.write(head(200, { 'Transfer-Encoding': 'chunked' }));
  const total = behind.get(socket)?.sent ?? { bytes: 0 };
  const more = () => {
    while (!socket.destroyed && total.bytes < ENOUGH_BYTES) {
      total.bytes += PIECE.length;
      if (!socket.write(PIECE)) return;
    }
  };
  socket.on('drain', more);
  more();
};

/** 32 MiB of blanks around a good answer, in 32 KiB. */
export function bomb(value: unknown): Fault {
  const packed = gzipSync(Buffer.concat([Buffer.alloc(32 * 1024 * 1024, 0x20), Buffer.from(JSON.stringify(value))]));
  return (socket) => {
    socket.write(head(200, { 'Content-Encoding': 'gzip', 'Content-Length': String(packed.length) }));
    socket.write(packed);
  };
}

/** Half a response, then the end of the connection. */
export function cutShort(text: string): Fault {
  return (socket) => {
    socket.write(head(200, { 'Content-Length': String(text.length + 100) }));
    socket.end(text);
  };
}

function head(code: number, headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${code} Status\r\nContent-Type: application/json\r\n${lines.join('')}\r\n`;
}

/** A key and a certificate for 127.0.0.1 that is not trusted. */
function selfSigned(): { key: Buffer; cert: Buffer } {
  const folder = mkdtempSync(join(tmpdir(), 'aritma-fault-server-'));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  try {
    const output = ['-keyout', key, '-out', cert];
    execFileSync('openssl', ['req', '-x509', '-nodes', '-days', '2', ...curve, ...output, ...subject], {
      stdio: 'ignore',
    });
    return { key: readFileSync(key), cert: readFileSync(cert) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
