/**
 * Loopback ports for programs that cannot choose one, and for those that listen again on theirs: never ports that the system
 * assigns to listeners on port 0 or to outgoing connections, so each is still free when it is needed again.
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';

/** Below the ranges that Linux, macOS and Windows assign. */
const [FIRST, COUNT] = [20_000, 12_000];

export async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listenApart(server);
  server.close();
  await once(server, 'close');
  return port;
}

/** Listens on such a port and returns it. */
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
