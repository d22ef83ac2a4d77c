/**
 * Connections as they arrive in a worker: first the engine gets to know that they are here, then they are read from. In
 * this order a worker that dies leaves none behind of which somebody else would see only the rest.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { ToEngine } from './protocol.ts';

export interface IntakeOptions {
  readonly send: (message: ToEngine, done?: () => void) => void;
  readonly serverFor: (secure: boolean) => Server | undefined;
}

export interface Intake {
  /** @param socket undefined when it was gone before it could be handed over */
  take(socket: Socket | undefined, id: number, secure: boolean): void;
}

export function createIntake({ send, serverFor }: IntakeOptions): Intake {
  let closed = 0;
  // Counted together, because a flood of short connections would otherwise be one of messages.
  const onClose = () => {
    closed += 1;
    if (closed > 1) return;
    setImmediate(() => {
      send({ kind: 'closed', count: closed });
      closed = 0;
    });
  };
  return {
    take(socket, id, secure) {
      const server = serverFor(secure);
      if (!socket || !server) {
        socket?.destroy();
        send({ kind: 'taken', id });
        onClose();
        return;
      }
      const { readStop, readStart } = reading(socket);
      readStop();
      // As http servers have it: a caller that has said everything still gets its answer.
      socket.allowHalfOpen = true;
      const ignore = () => undefined;
      socket.on('error', ignore).once('close', onClose);
      send({ kind: 'taken', id }, () => {
        socket.off('error', ignore);
        if (socket.destroyed) return;
        readStart();
        server.emit('connection', socket);
      });
    },
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
