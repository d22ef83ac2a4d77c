/** `node:net` on the simulated network. */
// biome-ignore lint/performance/noBarrelFile: it takes the place of a module of Node
export * from 'node:net';

import { Server, type ServerOpts } from 'node:net';
import { listenHere } from '../server.ts';
import { Socket, type SocketOptions } from '../socket.ts';

interface ConnectOptions extends SocketOptions {
  readonly host?: string;
  readonly port?: number | string;
  readonly path?: string;
}

function connect(options: ConnectOptions, onConnect?: () => void): Socket {
  const { host = '127.0.0.1', port = 0 } = options;
  const socket = new Socket(options);
  if (onConnect) socket.once('connect', onConnect);
  return socket.connectTo(`${host}:${Number(port)}`, host, Number(port));
}

function createServer(options: ServerOpts, onConnection?: (socket: never) => void): Server {
  return listenHere(new Server(options, onConnection as never));
}

export { connect, connect as createConnection, createServer, Socket };
