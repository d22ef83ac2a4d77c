/**
 * Lingering close: closes connections so that the other side can read its last response, at a bounded cost. Closing at once
 * while a request still arrives resets the connection, and some systems drop the unread response on a reset.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Time for the other side to read and close, ms. */
const LINGER_MS = 1000;
/** Bytes discarded from a connection that continues to send. */
const MAX_DISCARDED_BYTES = 64 * 1024;
/** Time for a caller to send the rest of an unused body, ms. */
const MAX_BODY_MS = 2000;
/** Each holds a file descriptor; beyond this number the oldest is destroyed. */
const MAX_LINGERING = 16;

/** Sends the last response of a connection that nothing else uses, and closes it. */
export type EndWith = (socket: Socket, response: string) => void;

/**
 * Creates a lingering close; all connections closed through it share its limits.
 * @example
 * createLingeringClose()(socket, 'HTTP/1.1 503 Service Unavailable\r\n\r\n');
 */
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
    // The kernel already has the response; `destroy` frees the descriptor at once.
    lingering.delete(oldest);
    oldest.destroy();
  };
}

/** Closes a connection that nothing else uses: ignores what it still sends and leaves it a moment to read. */
export function endGently(socket: Socket): void {
  socket.on('error', () => socket.destroy()).resume();
  socket.end();
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
}

/**
 * For a request with a body whose response is the last of its connection and ends before the body: closes the connection
 * when the body has arrived, or after a time limit. Node would destroy it at once, and a caller that sends everything before
 * it reads would see a broken connection (RFC 9112 §9.6).
 */
export function lingerForBody(req: IncomingMessage, res: ServerResponse): void {
  // Before Node's own listener, and only when needed: a socket with its own method takes far more memory.
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
  // Node calls this after the last response.
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
