/**
 * The node:http server with its limits, and the responses to bytes that never become a request: malformed bytes, headers
 * that are too slow or too large, CONNECT. Also handles requests with `Upgrade`, where Node needs help.
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
/** How often Node checks for callers that are too slow with their headers. */
const CHECK_INTERVAL_MS = 2000;
/** Longer than the connection pools of common HTTP clients, so the client closes first. */
const KEEP_ALIVE_MS = 75_000;

/** Serves a request. */
export type Begin = (req: IncomingMessage, res: ServerResponse, expectsContinue?: boolean) => void;

export interface Listener {
  readonly server: Server;
  /** Closes idle connections that Node has detached; `server.close` closes the others. */
  endIdle(): void;
}

/** PEM. With `ca`, callers need a certificate issued by one of these CAs. */
export interface ListenerTls {
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly ca?: Buffer;
}

export interface ListenerOptions {
  readonly begin: Begin;
  /** Time limit for request headers, from the moment a caller connects, ms. */
  readonly headersTimeout: number;
  readonly tls: ListenerTls | undefined;
  readonly connections: Connections;
  readonly readAhead: ReadAhead;
  /** Called for a connection that sent something but no request that is served. */
  readonly onRefused: (error: SidecarError) => void;
}

/**
 * Creates a server that does not listen yet.
 * @example
 * createListener({ begin, headersTimeout: 10_000, tls: undefined, connections, readAhead, onRefused }).server.listen(7080);
 */
export function createListener(settings: ListenerOptions): Listener {
  const { begin, headersTimeout, tls, connections, readAhead } = settings;
  const { unfinished } = connections;
  const options: ServerOptions = {
    ...readAhead.classes,
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout,
    // Bodies have an idle limit instead: a large upload over a slow network is not an attack.
    requestTimeout: 0,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // Admission refuses a missing Host, with a reason.
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
    // The stream of a request without a body is the connection itself.
    const socket = stream as Socket;
    begin(req, new UpgradeResponse({ req, socket, behind }, idle.add));
  });
  server.on('connect', (_req, socket) =>
    malformed(socket, unfinished(socket), reported(new SidecarError('CALLER_METHOD_REFUSED'), settings)),
  );
  guardConnections(server, tls ? 'secureConnection' : 'connection', connections);
  server.prependListener('connection', connections.accepted);
  server.on('clientError', (error, socket) => onClientError(error, socket, settings));
  // `close()` calls this. Node's own version also closes connections whose caller has not read the end of its response.
  server.closeIdleConnections = () => {
    for (const socket of connections.idle()) socket.destroy();
  };
  return { server, endIdle: idle.end };
}

function onClientError(error: NodeJS.ErrnoException, socket: Duplex, settings: ListenerOptions): void {
  const running = settings.connections.unfinished(socket);
  const failure = notHttp(error);
  const refused = () => new SidecarError(parserFault(error.code), { failure });
  // A peer without a TLS session cannot read a response.
  const gone = !socket.writable || /^(?:ECONNRESET|ERR_SSL|ERR_TLS|EPROTO)/.test(error.code ?? '');
  // A connection without any bytes is a pool's or a port scan's: no request to respond to.
  const silent = (socket as Socket).bytesRead === 0;
  if (gone || silent) {
    if (failure) reported(refused(), settings);
    socket.destroy();
  } else malformed(socket, running, isInBody(running) ? refused() : reported(refused(), settings));
}

/** Whether the bytes belong to the body of a running request, which is counted and logged itself. */
function isInBody(running: readonly ServerResponse[]): boolean {
  return running.some(({ req }) => !req.complete);
}

function reported(error: SidecarError, { onRefused }: ListenerOptions): SidecarError {
  onRefused(error);
  return error;
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

/** Connections that wait for their next request after Node had detached them. @param wake returns one to Node */
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
        // Needed to notice the end of the stream.
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

/** Returns the common name of a verified client certificate, safe to log; undefined without a certificate. */
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

/** Responds to malformed bytes, unless the caller could mistake the response for that of a running request. */
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

/** Runs before Node's own listener: a refused connection gets no parser and none of its memory. */
function guardConnections(server: Server, event: 'connection' | 'secureConnection', connections: Connections): void {
  const [serve] = server.listeners(event);
  server.removeAllListeners(event).on(event, (socket: Socket) => {
    if (connections.admit(socket)) serve?.call(server, socket);
  });
}

/**
 * Whether malformed bytes may get a response: when no request runs on the connection, or when they are the body of the only
 * running request. After a complete request they get none: the caller would take the 400 for the response to its payment.
 */
function isOwnFault([first, ...others]: readonly ServerResponse[]): boolean {
  return first === undefined || (others.length === 0 && !first.req.complete && !first.headersSent);
}

function parserFault(code: string | undefined): ErrorCode {
  if (code === 'HPE_HEADER_OVERFLOW') return 'CALLER_HEADERS_TOO_LARGE';
  return code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'CALLER_TIMEOUT' : 'CALLER_REQUEST_INVALID';
}

/** Sends a raw response on a connection without a response object; Node no longer listens for its errors. */
function refuse(socket: Duplex, response: string): void {
  socket.on('error', () => socket.destroy());
  socket.end(response, () => socket.destroy());
}
