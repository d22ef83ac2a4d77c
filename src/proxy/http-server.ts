/**
 * The node:http server with its limits, and its responses where there is no request to speak of: malformed bytes,
 * headers that are too slow or too large, CONNECT. Also what Node does not do well: requests that offer an upgrade.
 */
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket, type TlsOptions } from 'node:tls';
import { type ErrorCode, SidecarError } from '../core/errors.ts';
import { rawResponse } from '../core/problem.ts';
import { isIgnored, type ReadAhead } from '../core/read-ahead.ts';
import type { Connections } from './connections.ts';
import { notHttp } from './refusals.ts';
import { isStreamed } from './request-body.ts';
import { UpgradeResponse } from './upgrade.ts';

const MAX_HEADER_BYTES = 16 * 1024;
/** How often Node looks for callers that are too slow with their headers. */
const CHECK_INTERVAL_MS = 2000;
/** Longer than the pools of common HTTP clients keep a connection, so it is they who close first. */
const KEEP_ALIVE_MS = 75_000;

/** Takes a request over. */
export type Begin = (req: IncomingMessage, res: ServerResponse, expectsContinue?: boolean) => void;

export interface Listener {
  readonly server: Server;
  /** Ends connections between two requests that the server itself does not know of; `server.close` ends the others. */
  endIdle(): void;
}

/** PEM; with `ca`, callers must show a certificate of one of those. */
export interface ListenerTls {
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly ca?: Buffer;
}

export interface ListenerOptions {
  readonly begin: Begin;
  /** Ms a caller has for its request headers, from the moment it connects. */
  readonly headersTimeout: number;
  readonly tls: ListenerTls | undefined;
  readonly connections: Connections;
  readonly readAhead: ReadAhead;
  /** Called for what gets no request as far as being served, if it has sent anything. */
  readonly onRefused: (error: SidecarError) => void;
}

/** A server that is not listening yet. */
export function createListener(settings: ListenerOptions): Listener {
  const { begin, headersTimeout, tls, connections, readAhead } = settings;
  const { unfinished } = connections;
  const options: ServerOptions = {
    ...readAhead.classes,
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout,
    // Bodies have an idle limit instead: a large upload over a slow line is not an attack.
    requestTimeout: 0,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // We refuse a missing Host ourselves, with a reason.
    requireHostHeader: false,
    insecureHTTPParser: false,
    noDelay: true,
    shouldUpgradeCallback: (req) => !isIgnored(req) && !hasBody(req) && unfinished(req.socket).length === 0,
  };
  const server = tls ? createTlsServer({ ...options, ...secureOptions(tls, headersTimeout) }) : createServer(options);
  server.on('request', begin);
  server.on('checkContinue', (req, res) => begin(req, res, true));
  server.on('checkExpectation', begin);
  const idle = createIdle((socket) => void server.emit(tls ? 'secureConnection' : 'connection', socket));
  server.on('upgrade', (req, stream, behind) => {
    // Without a body it is the connection itself.
    const socket = stream as Socket;
    begin(req, new UpgradeResponse({ req, socket, behind }, idle.add));
  });
  server.on('connect', (_req, socket) =>
    malformed(socket, unfinished(socket), told(new SidecarError('CALLER_METHOD_REFUSED'), settings)),
  );
  guardConnections(server, tls ? 'secureConnection' : 'connection', connections);
  server.on('clientError', (error, socket) => onClientError(error, socket, settings));
  // `close()` calls it. Node's own also ends a connection whose caller has not taken the end of its response yet.
  server.closeIdleConnections = () => {
    for (const socket of connections.idle()) socket.destroy();
  };
  return { server, endIdle: idle.end };
}

function onClientError(error: NodeJS.ErrnoException, socket: Duplex, settings: ListenerOptions): void {
  const running = settings.connections.unfinished(socket);
  const failure = notHttp(error);
  const refused = () => new SidecarError(parserFault(error.code), { failure });
  // A peer that cannot speak TLS with us would not understand a response either.
  const gone = !socket.writable || /^(?:ECONNRESET|ERR_SSL|ERR_TLS|EPROTO)/.test(error.code ?? '');
  // One that only connected, ahead of need or to see who is there, has asked for nothing.
  const silent = (socket as Socket).bytesRead === 0;
  if (gone || silent) {
    if (failure) told(refused(), settings);
    socket.destroy();
  } else malformed(socket, running, isInBody(running) ? refused() : told(refused(), settings));
}

/** Of a request that is served, which is counted and logged by itself. */
function isInBody(running: readonly ServerResponse[]): boolean {
  return running.some(({ req }) => !req.complete);
}

function told(error: SidecarError, { onRefused }: ListenerOptions): SidecarError {
  onRefused(error);
  return error;
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

/** Connections that wait for their next request after one that Node had let go of. @param wake gives one back to Node */
function createIdle(wake: (socket: Socket) => void) {
  const waiting = new Set<Socket>();
  const add = (socket: Socket) => {
    waiting.add(socket);
    const leave = () => {
      waiting.delete(socket);
      socket
        .off('readable', look)
        .off('end', end)
        .off('error', end)
        .off('close', leave)
        .setTimeout(0)
        .off('timeout', end);
    };
    const end = () => {
      leave();
      socket.on('error', () => socket.destroy()).end(() => socket.destroy());
    };
    const look = () => {
      if (socket.readableLength === 0) {
        // Otherwise an end would go unnoticed.
        socket.read();
        return;
      }
      leave();
      wake(socket);
    };
    socket.on('readable', look).on('end', end).on('error', end).on('close', leave).setTimeout(KEEP_ALIVE_MS, end);
    if (socket.readableLength > 0) look();
  };
  return { add, end: () => waiting.forEach((socket) => void socket.end(() => socket.destroy())) };
}

function secureOptions({ cert, key, ca }: ListenerTls, handshakeTimeout: number): TlsOptions {
  return {
    cert,
    key,
    ca,
    requestCert: ca !== undefined,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout,
  };
}

const NAMES = new WeakMap<Socket, string>();

/** The name a verified client certificate gives its owner, fit for a log; undefined without one. */
export function certificateOf(socket: Socket): string | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const known = NAMES.get(socket);
  if (known !== undefined) return known;
  const { subject } = socket.getPeerCertificate();
  const name = String(subject?.CN ?? '');
  const fit = /^[\w .@:-]{1,64}$/.test(name) ? name : 'certificate';
  NAMES.set(socket, fit);
  return fit;
}

/** Responds to bytes that are no request: now, or never where the caller would take it for a payment's response. */
function malformed(socket: Duplex, running: readonly ServerResponse[], error: SidecarError): void {
  const last = running.at(-1);
  const mayHaveExecuted = running.some(({ req }) => isStreamed(req));
  if (isOwnFault(running)) refuse(socket, rawResponse(error, mayHaveExecuted));
  else if (last?.req.complete) closeAfter(last, socket);
  else socket.destroy();
}

/** The request before the malformed bytes still gets its response. */
function closeAfter(last: ServerResponse, socket: Duplex): void {
  last.shouldKeepAlive = false;
  last.once('close', () => socket.end(() => socket.destroy()));
}

/** In front of Node's own listener: what is not admitted never gets a parser, nor any of the memory of one. */
function guardConnections(server: Server, event: 'connection' | 'secureConnection', connections: Connections): void {
  const [serve] = server.listeners(event);
  server.removeAllListeners(event).on(event, (socket: Socket) => {
    if (connections.admit(socket)) serve?.call(server, socket);
  });
}

/**
 * Malformed bytes may get a response when nothing is running on the connection, or when they are the body of the one
 * running request. Behind a complete request they may not: the caller would take our 400 for its payment's response.
 */
function isOwnFault([first, ...others]: readonly ServerResponse[]): boolean {
  return first === undefined || (others.length === 0 && !first.req.complete && !first.headersSent);
}

function parserFault(code: string | undefined): ErrorCode {
  if (code === 'HPE_HEADER_OVERFLOW') return 'CALLER_HEADERS_TOO_LARGE';
  return code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'CALLER_TIMEOUT' : 'CALLER_REQUEST_INVALID';
}

/** For connections where Node has no response object, and no listener for errors any more. */
function refuse(socket: Duplex, response: string): void {
  socket.on('error', () => socket.destroy());
  socket.end(response, () => socket.destroy());
}
