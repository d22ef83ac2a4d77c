// The echo for WebSockets: sends each message back, text or bytes. Node hands over the connection of an upgrade
// request; this gives the request a response object and passes it through the same hooks as every other, so that the
// gate refuses it in the same way and scripted faults apply.
import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { type WebSocket, WebSocketServer } from 'ws';

/** Takes over the connection of an admitted WebSocket request; false for every other request. */
export type AcceptSocket = (request: IncomingMessage) => boolean;

/**
 * Server option `shouldUpgradeCallback`: which requests Node treats as upgrades. It serves all others as plain
 * requests.
 */
export function offersEcho({ method, url = '', headers }: IncomingMessage): boolean {
  return method === 'GET' && /^\/echo(?:[/?]|$)/.test(url) && headers.upgrade?.toLowerCase() === 'websocket';
}

/** Creates the echo. Its open sockets close with `app`. */
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

/** Handles one message at a time, so that a client that does not read costs the memory of one message. */
function echo(socket: WebSocket): void {
  socket.on('error', () => undefined);
  socket.on('message', (data, binary) => {
    socket.pause();
    socket.send(data, { binary }, () => socket.resume());
  });
}
