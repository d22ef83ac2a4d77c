/**
 * The connections of callers, over all listeners together, and what runs on each. There may be only so many: one more
 * makes the one that has been idle for longest give way, so that a program that hoards connections locks nobody out;
 * where all are in use, the new one gets 503 and is closed before anything is read from it. A running request is
 * never touched.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { SidecarError } from '../core/errors.ts';
import { rawResponse } from '../core/problem.ts';
import { createLingeringClose } from './lingering-close.ts';

/** In a burst of honest callers all are silent for a moment: 503 tells the surplus more than a closed connection. */
const MIN_IDLE_MS = 1000;
const RETRY_AFTER_S = 1;

export interface ConnectionsOptions {
  readonly limit: number;
  /** Called for every connection that got 503. */
  readonly onRefused: () => void;
  /** Monotonic, ms. */
  readonly now?: () => number;
}

export interface Connections {
  /** True: serve it. False: it got its response and is being closed. */
  admit(socket: Socket): boolean;
  /**
   * A request has begun; to be told when its response is closed.
   * @returns the response before it on its connection, if that is not over or was to be the last
   */
  began(res: ServerResponse): ServerResponse | undefined;
  ended(res: ServerResponse): void;
  /** Requests that have begun and not ended. */
  inFlight(): number;
  /** Resolves once there are none. */
  none(): Promise<void>;
  /** Connections that have sent nothing since they were made or served. */
  idle(): readonly Duplex[];
  /** The unfinished responses of a connection, or of all, oldest first. */
  unfinished(socket?: Duplex): readonly ServerResponse[];
}

/** What is known of a connection; it changes at every request, the map of connections does not. */
interface Connection {
  readonly running: ServerResponse[];
  latest: ServerResponse | undefined;
  idleSince: number;
  /** How much it had sent when it was made, or its last response was over, bytes. */
  quietAt: number;
}

const NOTHING: readonly ServerResponse[] = [];

/** One for all caller listeners of a sidecar. */
export function createConnections(options: ConnectionsOptions): Connections {
  const { limit, onRefused, now = () => performance.now() } = options;
  const open = new Map<Duplex, Connection>();
  const endWith = createLingeringClose();
  const response = rawResponse(new SidecarError('SIDECAR_OVERLOADED', { retryAfterS: RETRY_AFTER_S }));
  const makeRoom = createRoom(open, now);
  let inFlight = 0;
  let onNone: (() => void) | undefined;

  return {
    admit(socket) {
      // One that was given back after an upgrade that did not happen.
      if (open.has(socket)) return true;
      if (open.size >= limit && !makeRoom()) {
        onRefused();
        endWith(socket, response);
        return false;
      }
      open.set(socket, { running: [], latest: undefined, idleSince: now(), quietAt: socket.bytesRead });
      socket.once('close', () => open.delete(socket));
      return true;
    },
    began(res) {
      inFlight += 1;
      const connection = open.get(res.req.socket);
      const before = connection?.latest;
      connection?.running.push(res);
      if (connection) connection.latest = res;
      return before;
    },
    ended(res) {
      inFlight -= 1;
      const connection = open.get(res.req.socket);
      if (connection) finish(connection, res, now());
      if (inFlight === 0) onNone?.();
    },
    inFlight: () => inFlight,
    none: () =>
      new Promise<void>((resolve) => {
        onNone = resolve;
        if (inFlight === 0) resolve();
      }),
    idle: () => [...open].filter(isIdle).map(([socket]) => socket),
    unfinished: (socket) =>
      socket ? (open.get(socket)?.running ?? NOTHING) : [...open.values()].flatMap(({ running }) => running),
  };
}

function isIdle([socket, { running, quietAt }]: [Duplex, Connection]): boolean {
  return running.length === 0 && (socket as Socket).bytesRead === quietAt;
}

function finish(connection: Connection, res: ServerResponse, at: number): void {
  const { running } = connection;
  // Most often it is the only one.
  if (running.at(-1) === res) running.pop();
  else if (running.includes(res)) running.splice(running.indexOf(res), 1);
  connection.idleSince = at;
  connection.quietAt = res.req.socket.bytesRead;
  // An idle connection must not hold on to the headers of its last request; one that ends must be known as such.
  if (connection.latest === res && res.shouldKeepAlive) connection.latest = undefined;
}

/** Ends the connection that has been idle for longest; false when none has been for long enough. */
function createRoom(open: ReadonlyMap<Duplex, Connection>, now: () => number): () => boolean {
  /** Before this there is no use in looking: none can have been idle for long enough. */
  let nextAt = Number.NEGATIVE_INFINITY;
  return () => {
    if (now() < nextAt) return false;
    let oldest: [Duplex, Connection] | undefined;
    for (const entry of open)
      if (entry[1].running.length === 0 && entry[1].idleSince < (oldest?.[1].idleSince ?? Number.POSITIVE_INFINITY))
        oldest = entry;
    const idleSince = oldest?.[1].idleSince ?? now();
    if (oldest === undefined || now() - idleSince < MIN_IDLE_MS) {
      nextAt = idleSince + MIN_IDLE_MS;
      return false;
    }
    oldest[0].destroy();
    return true;
  };
}
