/** A network between members and their store that a test makes bad: slow, silent, or reset. */
import { connect, createServer, type Socket } from 'node:net';
import { listenApart } from './free-port.ts';

export interface StoreRelay extends AsyncDisposable {
  readonly port: number;
  /** Port of the store for new connections. */
  target: number;
  /** From now on: bytes pass, vanish while connections stay open, or each connection is reset. */
  mode: 'pass' | 'swallow' | 'reset';
  /** Of each byte from the store. */
  delayMs: number;
  /** Ends all connections with a reset. */
  reset(): void;
}

export async function startStoreRelay(target: number): Promise<StoreRelay> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    if (relay.mode === 'reset') return void near.resetAndDestroy();
    const far = connect(relay.target, '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    }
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
    near.on('data', (bytes) => relay.mode === 'pass' && far.write(bytes));
    far.on('data', (bytes) => {
      const pass = () => relay.mode === 'pass' && near.write(bytes);
      if (relay.delayMs > 0) setTimeout(pass, relay.delayMs).unref();
      else pass();
    });
  });
  const relay: StoreRelay = {
    port: await listenApart(server),
    target,
    mode: 'pass',
    delayMs: 0,
    reset() {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
  return relay;
}
