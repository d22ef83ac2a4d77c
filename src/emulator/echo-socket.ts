// The echo for WebSockets: what a client says, in text or bytes, comes back. Hides that Node lets go of a connection whose
// request offers one: the request gets a response of its own and passes the same hooks as every other, so the gate refuses
// it in the same words and a scripted fault hits it too.
import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { type WebSocket, WebSocketServer } from 'ws';

/** Takes over the connection of an admitted request that offers a WebSocket; false for every other request. */
export type AcceptSocket = (request: IncomingMessage) => boolean;

/** Which requests Node is to let go of, `shouldUpgradeCallback` of a server; all others are served as if they offered nothing. */
export function offersEcho({ method, url = '', headers }: IncomingMessage): boolean {
  return method === 'GET' && /^\/echo(?:[/?]|$)/.test(url) && headers.upgrade?.toLowerCase() === 'websocket';
}

/** Open sockets end with `app`. */
export function createEchoSockets(app: FastifyInstance): AcceptSocket {
  const sockets = new WebSocketServer({ noServer: true });
  const offers = new WeakMap<IncomingMessage, () => void>();

  app.server.on('upgrade', (request, stream, behind) => {
    const socket = stream as Socket;
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket);
    socket.on('error', () => socket.destroy());
    response.once('finish', () => socket.end());
    offers.set(request, () => {
      response.detachSocket(socket);
      sockets.handleUpgrade(request, socket, behind, echo);
    });
    app.routing(request, response);
  });
  app.addHook('preClose', async () => {
    for (const socket of sockets.clients) socket.terminate();
  });
  return (request) => {
    const accept = offers.get(request);
    accept?.();
    return accept !== undefined;
  };
}

/** One message at a time, so a client that does not read costs one message. */
function echo(socket: WebSocket): void {
  socket.on('error', () => undefined);
  socket.on('message', (data, binary) => {
    socket.pause();
    socket.send(data, { binary }, () => socket.resume());
  });
}
