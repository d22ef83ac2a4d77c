/**
 * Loopback ports for programs that cannot choose one themselves, and for those that come back to theirs: none that the system
 * gives to others, who ask for any port or just connect, so that it is still free when it is needed again.
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';

/** Below what Linux, macOS and Windows give away. */
const [FIRST, COUNT] = [20_000, 12_000];

export async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listenApart(server);
  server.close();
  await once(server, 'close');
  return port;
}

/** Listens on such a port and says which. */
export async function listenApart(server: Server): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const taken = () => resolve(false);
    const listening = () => resolve(true);
    server.once('error', taken).once('listening', listening).listen(port, '127.0.0.1');
    const isMine = await promise;
    server.off('error', taken).off('listening', listening);
    if (isMine) return port;
  }
}
