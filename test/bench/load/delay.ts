/** A way to a server that takes its time, as the way to an API does: a relay that holds every byte back for a while. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface DelayedWay {
  readonly port: number;
  /** Connections made so far. */
  connections(): number;
  close(): void;
}

/**
 * @param port of the server, on loopback
 * @param oneWayMs for each byte; a connection is made in twice that, as a real one
 */
export async function startDelayedWay(port: number, oneWayMs: number): Promise<DelayedWay> {
  const open = new Set<Socket>();
  let connections = 0;
  const server = createServer({ noDelay: true }, (near) => {
    connections += 1;
    const far = connect({ port, host: '127.0.0.1', noDelay: true });
    for (const socket of [near, far]) {
      open.add(socket);
      socket.on('error', () => socket.destroy()).on('close', () => open.delete(socket));
    }
    // What a caller sends first waits until the other side would have heard of the connection, and said so.
    passLater(near, far, { delayMs: oneWayMs, firstMs: 3 * oneWayMs });
    passLater(far, near, { delayMs: oneWayMs, firstMs: oneWayMs });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    close() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

function passLater(from: Socket, to: Socket, { delayMs, firstMs }: { delayMs: number; firstMs: number }): void {
  let until = performance.now() + firstMs;
  const later = (act: () => void) => {
    until = Math.max(until, performance.now() + delayMs);
    setTimeout(act, until - performance.now());
  };
  from.on('data', (piece) => later(() => to.write(piece)));
  from.on('end', () => later(() => to.end()));
  from.on('close', () => later(() => to.destroy()));
}
