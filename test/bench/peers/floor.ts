/**
 * The floor: the least that Node can do with node:http in front and undici behind. Adds one header and streams both ways
 * with backpressure; no guards, no metrics, no log, no deadlines. Everything above it is the cost of the sidecar.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type Dispatcher, Pool } from 'undici';
import { announce, CONNECTIONS, readInput } from './peer.ts';

const { upstream, authorization } = readInput();
const pool = new Pool(upstream, { connections: CONNECTIONS, pipelining: 1 });
/** Fields of the connection, not of the message (RFC 9110 §7.6.1). */
const HOP_BY_HOP = /^(?:connection|keep-alive|te|trailer|transfer-encoding|upgrade|host|authorization)$/i;

function requestHeaders({ rawHeaders }: IncomingMessage): string[] {
  const headers: string[] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    if (!HOP_BY_HOP.test(name)) headers.push(name, rawHeaders[index + 1] ?? '');
  }
  headers.push('Authorization', authorization);
  return headers;
}

function handlerFor(res: ServerResponse): Dispatcher.DispatchHandler {
  return {
    onRequestStart(controller) {
      res.on('close', () => {
        if (!res.writableFinished) controller.abort(new Error('caller gone'));
      });
      res.on('drain', () => controller.resume());
    },
    onResponseStart(_controller, status, { connection, 'keep-alive': _, 'transfer-encoding': __, ...headers }) {
      if (status >= 200) res.writeHead(status, headers);
    },
    onResponseData(controller, chunk) {
      if (!res.write(chunk)) controller.pause();
    },
    onResponseEnd() {
      res.end();
    },
    onResponseError() {
      if (res.headersSent) res.destroy();
      else res.writeHead(502).end();
    },
  };
}

const server = createServer((req, res) => {
  const hasBody = req.headers['content-length'] !== undefined || req.headers['transfer-encoding'] !== undefined;
  const { method = 'GET', url: path = '/' } = req;
  pool.dispatch({ method, path, headers: requestHeaders(req), body: hasBody ? req : null }, handlerFor(res));
});
announce(server);
