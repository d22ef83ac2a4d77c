/**
 * The connections of callers, over all listeners, and the requests on each. Their number is limited. At the limit, a new
 * connection replaces the one that has been idle longest, so a program that keeps many open cannot lock others out; when
 * all are in use, the new one gets 503 and is closed before anything is read from it. Running requests are never ended.
 */
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { SidecarError } from '../core/errors.ts';
import { rawResponse } from '../core/problem.ts';
import { createLingeringClose } from './lingering-close.ts';

/** Requests started in a turn of the event loop that accepts a connection: few, so that the next turn comes soon. */
const FEW_AT_ONCE = 4;
/** Requests that may wait for a later turn: each takes memory that the gate does not know of before it starts. */
const MAX_WAITING = 512;
/** Only connections idle for this long are closed: in a burst all are idle for a moment, and 503 is clearer than a close. */
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
  /** Call for every accepted connection, with TLS before the handshake. */
  accepted(): void;
  /**
   * Starts the work on a request: at once, or, while connections are accepted and for more than a few requests, in order a few
   * turns later. Node accepts one connection per turn of the event loop: behind a turn with hundreds of requests, each waiting
   * connection would cost a new caller that long.
   */
  start(work: () => void): void;
  /** True: serve it. False: it got 503 and is being closed. */
  admit(socket: Socket): boolean;
  /**
   * Notes the start of a request; `ended` must follow when its response is closed.
   * @returns the previous response on the connection, if it is unfinished or the last one of the connection
   */
  began(res: ServerResponse): ServerResponse | undefined;
  ended(res: ServerResponse): void;
  /** Number of running requests. */
  inFlight(): number;
  /** Resolves once no request is running. */
  none(): Promise<void>;
  /** Connections that have sent nothing since they opened or their last response ended. */
  idle(): readonly Duplex[];
  /** Unfinished responses of a connection, or of all, oldest first. */
  unfinished(socket?: Duplex): readonly ServerResponse[];
}

/**
 * The open connections, in a plain list, and each found by its socket. Not a map: one that changes with every connection
 * leaves old tables behind, which keep closed connections in memory until a full collection.
 */
type Open = Connection[];

const CONNECTION = Symbol('connection');

type Known = Duplex & { [CONNECTION]?: Connection | undefined };

interface Connection {
  readonly socket: Socket;
  /** Its place in the list. */
  at: number;
  readonly running: ServerResponse[];
  latest: ServerResponse | undefined;
  idleSince: number;
  /** `bytesRead` when it opened or its last response ended. */
  quietAt: number;
}

const NOTHING: readonly ServerResponse[] = [];

/**
 * Creates the one set for all caller listeners of a sidecar.
 * @example
 * const connections = createConnections({ limit: 1000, onRefused });
 * server.on('connection', (socket) => connections.admit(socket) && serve(socket));
 */
export function createConnections(options: ConnectionsOptions): Connections {
  const { limit, onRefused, now = () => performance.now() } = options;
  const open: Open = [];
  const endWith = createLingeringClose();
  const response = rawResponse(new SidecarError('SIDECAR_OVERLOADED', { retryAfterS: RETRY_AFTER_S }));
  const makeRoom = createRoom(open, now);
  let inFlight = 0;
  let onNone: (() => void) | undefined;

  return {
    ...createPace(),
    admit(socket) {
      // Already counted: it came back after an upgrade that was not accepted.
      if (connectionOf(socket)) return true;
      if (open.length >= limit && !makeRoom()) {
        onRefused();
        endWith(socket, response);
        return false;
      }
      add(open, {
        socket,
        at: open.length,
        running: [],
        latest: undefined,
        idleSince: now(),
        quietAt: socket.bytesRead,
      });
      return true;
    },
    began(res) {
      inFlight += 1;
      const connection = connectionOf(res.req.socket);
      return connection && begin(connection, res);
    },
    ended(res) {
      inFlight -= 1;
      const connection = connectionOf(res.req.socket);
      if (connection) finish(connection, res, now());
      if (inFlight === 0) onNone?.();
    },
    inFlight: () => inFlight,
    none: () =>
      new Promise<void>((resolve) => {
        onNone = resolve;
        if (inFlight === 0) resolve();
      }),
    idle: () => open.filter(isIdle).map(({ socket }) => socket),
    unfinished: (socket) =>
      socket ? (connectionOf(socket)?.running ?? NOTHING) : open.flatMap(({ running }) => running),
  };
}

function createPace(): Pick<Connections, 'accepted' | 'start'> {
  const waiting: (() => void)[] = [];
  let hasAccepted = false;
  let isAccepting = false;
  let started = 0;
  const endTurn = () => {
    // A turn that accepted none has found no other waiting.
    isAccepting = hasAccepted;
    hasAccepted = false;
    started = 0;
    for (const work of waiting.splice(0, isAccepting ? FEW_AT_ONCE : waiting.length)) work();
    if (isAccepting) setImmediate(endTurn);
  };
  return {
    accepted() {
      hasAccepted = true;
      if (!isAccepting) setImmediate(endTurn);
      isAccepting = true;
    },
    start(work) {
      if (isAccepting) started += 1;
      // Nobody overtakes those that wait.
      if (isAccepting && (started > FEW_AT_ONCE || waiting.length > 0)) waiting.push(work);
      else work();
      if (waiting.length > MAX_WAITING) waiting.shift()?.();
    },
  };
}

function connectionOf(socket: Duplex): Connection | undefined {
  return (socket as Known)[CONNECTION];
}

function add(open: Open, connection: Connection): void {
  const { socket } = connection;
  open.push(connection);
  (socket as Known)[CONNECTION] = connection;
  socket.once('close', () => {
    (socket as Known)[CONNECTION] = undefined;
    const last = open.pop();
    if (last === undefined || last === connection) return;
    // The last one takes its place, so that nothing has to move up.
    open[connection.at] = last;
    last.at = connection.at;
  });
}

function isIdle({ socket, running, quietAt }: Connection): boolean {
  return running.length === 0 && socket.bytesRead === quietAt;
}

/** @returns the response before this one */
function begin(connection: Connection, res: ServerResponse): ServerResponse | undefined {
  const { latest } = connection;
  connection.running.push(res);
  connection.latest = res;
  return latest;
}

function finish(connection: Connection, res: ServerResponse, at: number): void {
  const { running } = connection;
  // The usual case: it is the only one.
  if (running.at(-1) === res) running.pop();
  else if (running.includes(res)) running.splice(running.indexOf(res), 1);
  connection.idleSince = at;
  connection.quietAt = res.req.socket.bytesRead;
  // An idle connection must not keep the headers of its last request in memory; one that closes keeps `latest` as a mark.
  if (connection.latest === res && res.shouldKeepAlive) connection.latest = undefined;
}

/** Closes the connection that has been idle longest; returns false when none has been idle long enough. */
function createRoom(open: Open, now: () => number): () => boolean {
  /** Before this time no connection can have been idle long enough. */
  let nextAt = Number.NEGATIVE_INFINITY;
  return () => {
    if (now() < nextAt) return false;
    let oldest: Connection | undefined;
    for (const connection of open)
      if (connection.running.length === 0 && connection.idleSince < (oldest?.idleSince ?? Number.POSITIVE_INFINITY))
        oldest = connection;
    const idleSince = oldest?.idleSince ?? now();
    if (oldest === undefined || now() - idleSince < MIN_IDLE_MS) {
      nextAt = idleSince + MIN_IDLE_MS;
      return false;
    }
    oldest.socket.destroy();
    return true;
  };
}
