/** Lets a server listen on the simulated network: replaces what of `net.Server` belongs to the system. */
import type { Server } from 'node:net';
import { failure } from './network.ts';
import { platform, self } from './platform.ts';
import { Socket } from './socket.ts';

interface Address {
  readonly host?: string;
  readonly port?: number;
}

/** What Node's HTTP server keeps of a connection, outside of the heap: nothing but a closed connection gives it back. */
interface Parsed {
  parser?: { remove(): void; close(): void } | null;
}

/** The server itself stays: it gets its connections as events. */
export function listenHere<Listener extends Server>(server: Listener): Listener {
  const state = new Simulated(server);
  const closeReal = server.close.bind(server);
  platform().atEnd(() => {
    state.forget();
    server.removeAllListeners();
    // It clears the timer of a server of HTTP.
    closeReal();
  });
  Object.defineProperty(server, 'listening', { get: () => state.isListening });
  return Object.assign(server, {
    listen: (...args: unknown[]) => state.listen(args),
    address: () => state.address,
    close: (done?: () => void) => state.close(done),
    ref: () => server,
    unref: () => server,
  });
}

class Simulated {
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  #stop: (() => void) | undefined;
  address: { address: string; port: number; family: string } | null = null;

  constructor(server: Server) {
    this.#server = server;
  }

  get isListening(): boolean {
    return this.#stop !== undefined;
  }

  listen(args: readonly unknown[]): Server {
    const server = this.#server;
    const { host = '127.0.0.1', port = 0 } = addressOf(args);
    const done = args.at(-1);
    if (typeof done === 'function') server.once('listening', done as () => void);
    const chosen = port === 0 ? platform().network.freePort() : port;
    try {
      this.#stop = this.#bind(host, chosen);
      this.address = { address: host, port: chosen, family: 'IPv4' };
      process.nextTick(() => server.emit('listening'));
    } catch (error) {
      process.nextTick(() => server.emit('error', error));
    }
    return server;
  }

  #bind(host: string, port: number): () => void {
    if (host.includes(':')) throw failure('EADDRNOTAVAIL', 'listen', `${host}:${port}`);
    return platform().network.listen(`${host}:${port}`, {
      owner: self(),
      accept: (connected) => {
        const socket = new Socket({ allowHalfOpen: true });
        Object.assign(socket, { server: this.#server, localPort: port, remotePort: platform().network.freePort() });
        this.#open.add(socket);
        socket.once('close', () => this.#left(socket)).attach(connected);
        this.#server.emit('connection', socket);
        socket.read(0);
        return socket;
      },
    });
  }

  close(done?: () => void): Server {
    if (done) this.#server.once('close', done);
    this.#stop?.();
    this.#stop = undefined;
    if ('closeIdleConnections' in this.#server) (this.#server.closeIdleConnections as () => void)();
    this.#closeIfEmpty();
    return this.#server;
  }

  /** The history is over. A killed process has closed no connection. */
  forget(): void {
    for (const socket of this.#open) {
      const { parser } = socket as Parsed;
      parser?.remove();
      parser?.close();
      Object.assign(socket, { parser: null });
    }
    this.#open.clear();
  }

  #left(socket: Socket): void {
    this.#open.delete(socket);
    if (!this.isListening) this.#closeIfEmpty();
  }

  #closeIfEmpty(): void {
    if (this.#open.size === 0) process.nextTick(() => this.#server.emit('close'));
  }
}

function addressOf([first, second]: readonly unknown[]): Address {
  if (typeof first === 'object' && first !== null) return first;
  return { ...(typeof first === 'number' && { port: first }), ...(typeof second === 'string' && { host: second }) };
}
