/**
 * How many connections callers may hold, over all listeners together. One more makes the connection that has been idle
 * for longest give way, so that a program that hoards connections locks nobody out; where all are in use, the new one
 * is answered 503 and closed before anything is read from it. A running request is never touched.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { SidecarError } from '../errors.ts';
import { createLingering } from './lingering.ts';
import { rawAnswer } from './raw-answer.ts';

/** In a burst of honest callers all are silent for a moment: 503 tells the surplus more than a closed connection. */
const MIN_IDLE_MS = 1000;
const RETRY_AFTER_S = 1;

export interface ConnectionsOptions {
  readonly limit: number;
  /** Called for every connection that was answered 503. */
  readonly onRefused: () => void;
  /** Monotonic, ms. */
  readonly now?: () => number;
}

export interface Connections {
  /** True: serve it. False: it has been answered and is being closed. */
  admit(socket: Socket): boolean;
  /** A request has begun; its connection is in use until the response closes. */
  began(res: ServerResponse): void;
}

/** One for all caller listeners of a sidecar. */
export function createConnections(options: ConnectionsOptions): Connections {
  const { limit, onRefused, now = () => performance.now() } = options;
  /** Every open connection is in exactly one of these two. */
  const running = new Map<Socket, number>();
  /** Since when, oldest first. */
  const idle = new Map<Socket, number>();
  const endWith = createLingering();
  const answer = rawAnswer(new SidecarError('SIDECAR_OVERLOADED', { retryAfterS: RETRY_AFTER_S }));

  const makeRoom = (): boolean => {
    const [oldest] = idle;
    if (oldest === undefined || now() - oldest[1] < MIN_IDLE_MS) return false;
    idle.delete(oldest[0]);
    oldest[0].destroy();
    return true;
  };
  const ended = (socket: Socket): void => {
    const left = (running.get(socket) ?? 1) - 1;
    if (left > 0) {
      running.set(socket, left);
      return;
    }
    running.delete(socket);
    if (!socket.destroyed) idle.set(socket, now());
  };

  return {
    admit(socket) {
      // One that was given back after an upgrade that did not happen.
      if (idle.has(socket) || running.has(socket)) return true;
      if (running.size + idle.size >= limit && !makeRoom()) {
        onRefused();
        endWith(socket, answer);
        return false;
      }
      idle.set(socket, now());
      socket.once('close', () => {
        idle.delete(socket);
        running.delete(socket);
      });
      return true;
    },
    began(res) {
      const { socket } = res.req;
      idle.delete(socket);
      running.set(socket, (running.get(socket) ?? 0) + 1);
      res.once('close', () => ended(socket));
    },
  };
}
