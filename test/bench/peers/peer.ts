/** What every Node peer has in common: where it forwards to, what it injects, how it says where it listens. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Connections to the upstream at most; all subjects have the same. */
export const CONNECTIONS = 256;

export interface PeerInput {
  /** Origin. */
  readonly upstream: string;
  /** Whole field value. */
  readonly authorization: string;
}

export function readInput(): PeerInput {
  const [, , upstream = '', authorization = ''] = process.argv;
  return { upstream, authorization };
}

/** Listens and tells the bench; ends when the bench is gone. */
export function announce(server: Server): void {
  process.on('disconnect', () => process.exit());
  const tell = () => process.send?.((server.address() as AddressInfo).port);
  if (server.listening) tell();
  else server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, tell);
}
