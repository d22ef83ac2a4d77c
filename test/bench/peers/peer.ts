/** Common to all Node peers: where to forward, what to inject, how to report the port. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Maximum number of connections to the upstream; the same for all subjects. */
export const CONNECTIONS = 256;

export interface PeerInput {
  /** Origin. */
  readonly upstream: string;
  /** Complete field value. */
  readonly authorization: string;
}

export function readInput(): PeerInput {
  const [, , upstream = '', authorization = ''] = process.argv;
  return { upstream, authorization };
}

/** Listens and sends the port to the bench; ends when the bench is gone. */
export function announce(server: Server): void {
  process.on('disconnect', () => process.exit());
  const tell = () => process.send?.((server.address() as AddressInfo).port);
  if (server.listening) tell();
  else server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, tell);
}
