/**
 * `node:tls` on the simulated network: connections that are secure at once. TLS itself is not simulated: a handshake takes
 * threads and entropy of OpenSSL, and has tests of its own.
 */
// biome-ignore lint/performance/noBarrelFile: it takes the place of a module of Node
export * from 'node:tls';

import { Socket, type SocketOptions } from '../socket.ts';

interface ConnectOptions extends SocketOptions {
  readonly host?: string;
  readonly port?: number | string;
}

export class TLSSocket extends Socket {
  readonly encrypted = true;
  readonly authorized = true;
  readonly alpnProtocol = 'http/1.1';

  getPeerCertificate(): object {
    return {};
  }

  getSession(): undefined {
    return undefined;
  }
}

export function connect(options: ConnectOptions): TLSSocket {
  const { host = '127.0.0.1', port = 443 } = options;
  const socket = new TLSSocket(options);
  socket.once('connect', () => void socket.emit('secureConnect'));
  return socket.connectTo(`${host}:${Number(port)}`, host, Number(port));
}
