/**
 * Connections as they arrive in a worker: first the primary gets to know that they are here, then they are read from. In
 * this order a worker that dies leaves none behind of which somebody else would see only the rest.
 */
import type { Server, Socket } from 'node:net';
import type { PrimaryApi } from './protocol.ts';
import type { Peer } from './rpc.ts';

/** @returns what takes a connection; its socket is undefined when it was gone before it could be handed over */
export function createIntake(primary: Peer<PrimaryApi>, serverFor: (secure: boolean) => Server | undefined) {
  let closed = 0;
  // Counted together, because a flood of short connections would otherwise be one of messages.
  const onClose = () => {
    closed += 1;
    if (closed > 1) return;
    setImmediate(() => {
      primary.tell('closed', closed);
      closed = 0;
    });
  };
  return ({ id, secure }: { readonly id: number; readonly secure: boolean }, socket: Socket | undefined): void => {
    const server = serverFor(secure);
    if (!socket || !server) {
      socket?.destroy();
      primary.tell('taken', id);
      onClose();
      return;
    }
    const { readStop, readStart } = reading(socket);
    readStop();
    // As http servers have it: a caller that has said everything still gets its response.
    socket.allowHalfOpen = true;
    const ignore = () => undefined;
    socket.on('error', ignore).once('close', onClose);
    const sent = () => {
      socket.off('error', ignore);
      if (socket.destroyed) return;
      readStart();
      server.emit('connection', socket);
    };
    primary.tell('taken', id, { sent });
  };
}

/**
 * Node begins to read from a connection it receives, and has no public way to say otherwise (`pauseOnConnect` does this
 * very thing). Without it, nothing is held back.
 */
function reading(socket: Socket): { readStop: () => void; readStart: () => void } {
  const { _handle: handle } = socket as Socket & { _handle?: Partial<Record<'readStop' | 'readStart', () => void>> };
  return { readStop: () => handle?.readStop?.(), readStart: () => handle?.readStart?.() };
}
