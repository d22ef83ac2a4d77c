/**
 * Closes connections in a way that lets the other side read its last response, at a bounded price: closing at once
 * while a request is still on its way resets the connection, and a reset makes some systems drop the response unread.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Time the other side has to read and to close, ms. */
const LINGER_MS = 1000;
/** What is thrown away of a connection that goes on sending. */
const MAX_DISCARDED_BYTES = 64 * 1024;
/** Time a caller has to send a body nobody wants, ms. */
const MAX_BODY_MS = 2000;
/** Each holds a file descriptor; with more, the oldest goes at once. */
const MAX_LINGERING = 16;

/** Sends the last bytes of a connection that nothing else uses, and sees to its end. */
export type EndWith = (socket: Socket, response: string) => void;

/** All connections ended through one of these share its bounds. */
export function createLingeringClose(): EndWith {
  const lingering = new Set<Socket>();
  return (socket, response) => {
    lingering.add(socket);
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket
      .on('error', () => undefined)
      .on('end', () => socket.destroy())
      .on('data', () => {
        if (socket.bytesRead > MAX_DISCARDED_BYTES) socket.destroy();
      })
      .once('close', () => {
        clearTimeout(timer);
        lingering.delete(socket);
      })
      .end(response);
    const [oldest] = lingering;
    if (lingering.size <= MAX_LINGERING || oldest === undefined) return;
    // The kernel already has its response; the descriptor is free when this returns.
    lingering.delete(oldest);
    oldest.destroy();
  };
}

/** Ends a connection that nothing else uses: what it still sends is not looked at, and it has a moment to read. */
export function endGently(socket: Socket): void {
  socket.on('error', () => socket.destroy()).resume();
  socket.end();
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}

/**
 * For a request with a body: if its response is the last of its connection and comes before the end of that body, the
 * connection is ended once the body has come, or has taken too long. Node would destroy it at once, and a caller that
 * sends before it reads would find it broken (RFC 9112 §9.6).
 */
export function lingerForBody(req: IncomingMessage, res: ServerResponse): void {
  // Ahead of Node's own listener, and not before it is needed: a socket with a method of its own takes far more memory.
  res.prependOnceListener('finish', () => {
    if (!req.complete && !req.destroyed) endWhenReceived(req);
  });
}

function endWhenReceived(req: IncomingMessage): void {
  const { socket } = req;
  const { destroySoon } = socket;
  req.once('close', () => {
    socket.destroySoon = destroySoon;
  });
  // What Node calls after the last response.
  socket.destroySoon = () => {
    socket.end();
    req.resume();
    const timer = setTimeout(() => socket.destroy(), MAX_BODY_MS);
    req.once('close', () => {
      clearTimeout(timer);
      socket.destroySoon();
    });
  };
}
