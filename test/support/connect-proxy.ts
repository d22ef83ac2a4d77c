/** A company's proxy: accepts only CONNECT, connects every name to one local port, and keeps every byte. */
import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';

export interface ConnectProxy {
  readonly port: number;
  /** Targets of CONNECT, `bank.test:443`. */
  readonly connects: readonly string[];
  readonly headers: readonly IncomingMessage['headers'][];
  /** Requests other than CONNECT, which it refuses. */
  readonly others: readonly string[];
  /** All bytes from and to the other side, as latin1. */
  relayed(): string;
  close(): Promise<void>;
}

export interface ProxyBehaviour {
  /** The real port of every target. */
  readonly target: number;
  /** The response to CONNECT; default 200, `undefined` = none. */
  readonly status?: number | 'silent';
}

export async function startConnectProxy({ target, status = 200 }: ProxyBehaviour): Promise<ConnectProxy> {
  const connects: string[] = [];
  const headers: IncomingMessage['headers'][] = [];
  const others: string[] = [];
  const sockets = new Set<Socket>();
  let relayed = '';
  const keep = (chunk: Buffer) => {
    relayed += chunk.toString('latin1');
  };
  const track = (socket: Socket) => {
    sockets.add(socket);
    return socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket));
  };
  const server = createServer((req, res) => {
    others.push(`${req.method} ${req.url}`);
    res.writeHead(405).end();
  });
  server.on('connection', track);
  server.on('connect', (req, client: Socket) => {
    connects.push(req.url ?? '');
    headers.push(req.headers);
    if (status === 'silent') return;
    if (status !== 200) {
      client.end(`HTTP/1.1 ${status} No\r\nProxy-Authenticate: Basic realm="proxy"\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    const other = track(connect(target, '127.0.0.1', () => client.write('HTTP/1.1 200 OK\r\n\r\n')));
    client.on('data', keep).pipe(other);
    other.on('data', keep).pipe(client);
    client.on('close', () => other.destroy());
    other.on('close', () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    connects,
    headers,
    others,
    relayed: () => relayed,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
