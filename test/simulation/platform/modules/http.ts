/** `node:http` with servers on the simulated network. Node's own limits of slow headers run in real time: they never apply. */
// biome-ignore lint/performance/noBarrelFile: it takes the place of a module of Node
export * from 'node:http';

import { createServer as createReal, type RequestListener, type Server, type ServerOptions } from 'node:http';
import { listenHere } from '../server.ts';

const NEVER_MS = 2 ** 31 - 1;

export function createServer(options: ServerOptions | RequestListener, onRequest?: RequestListener): Server {
  if (typeof options === 'function') return createServer({}, options);
  return listenHere(createReal({ ...options, connectionsCheckingInterval: NEVER_MS }, onRequest));
}
