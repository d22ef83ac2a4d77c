/**
 * Accepts callers' connections and hands each to the worker with the most room. A connection stays open here until a worker
 * says that it has it, before it has read from it: when that worker dies first, another one gets it, whole.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { partOf } from '../data-plane/settings.ts';
import type { Pool, Worker } from './process-pool.ts';

export interface HandoffOptions {
  readonly ready: Pool['ready'];
  readonly count: number;
  /** Connections of callers at most, over all workers. */
  readonly limit: number;
  /** Called before a connection is handed over. */
  readonly beforeEach: () => void;
}

export interface Handoff {
  /** A server that is not listening yet. @param secure whether workers speak TLS on its connections */
  createListener(secure: boolean): Server & { readonly secure: boolean };
  /** Those who wait get it. */
  ready(): void;
  taken(worker: Worker, id: number): void;
  closed(worker: Worker, count: number): void;
  /** What it had not taken goes to others. */
  gone(worker: Worker): void;
  /** Closes what nobody has taken. */
  close(): void;
}

interface Pending {
  readonly socket: Socket;
  readonly secure: boolean;
}

export function createHandoff({ ready, count, limit, beforeEach }: HandoffOptions): Handoff {
  /** Handed over and not known to be closed. */
  const open = new Map<Worker, number>();
  const pending = new Map<Worker, Map<number, Pending>>();
  const waiting: Pending[] = [];
  let latest = 0;

  const roomOf = (worker: Worker) => partOf(limit, { index: worker.index, count }) - (open.get(worker) ?? 0);
  const give = (connection: Pending): void => {
    const [best] = ready().toSorted((one, other) => roomOf(other) - roomOf(one));
    if (best === undefined) {
      // All of them are being replaced. More than may be open need not wait.
      if (waiting.length < limit) waiting.push(connection);
      else connection.socket.destroy();
      return;
    }
    beforeEach();
    latest += 1;
    open.set(best, (open.get(best) ?? 0) + 1);
    const own = pending.get(best) ?? new Map<number, Pending>();
    pending.set(best, own.set(latest, connection));
    best.tell('connection', { id: latest, secure: connection.secure }, { socket: connection.socket });
  };
  return {
    createListener(secure) {
      const server = createServer({ pauseOnConnect: true, noDelay: true, allowHalfOpen: true }, (socket) => {
        // Nothing is read here: what goes wrong with it is seen by the worker that has it.
        socket.on('error', () => undefined);
        give({ socket, secure });
      });
      return Object.assign(server, { secure });
    },
    ready: () => waiting.splice(0).forEach(give),
    taken(worker, id) {
      // Its descriptor here; the connection goes on.
      pending.get(worker)?.get(id)?.socket.destroy();
      pending.get(worker)?.delete(id);
    },
    closed: (worker, ended) => void open.set(worker, (open.get(worker) ?? 0) - ended),
    gone(worker) {
      open.delete(worker);
      const left = [...(pending.get(worker)?.values() ?? [])];
      pending.delete(worker);
      left.forEach(give);
    },
    close() {
      for (const { socket } of [...waiting.splice(0), ...[...pending.values()].flatMap((own) => [...own.values()])])
        socket.destroy();
    },
  };
}
