/**
 * The node:http server with its limits, and the answers it gives where there is no request to speak of: malformed bytes,
 * headers that are too slow or too large, CONNECT.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { type ErrorCode, SidecarError, toProblem } from '../errors.ts';

const MAX_HEADER_BYTES = 16 * 1024;
/** How often Node looks for callers that are too slow with their headers. */
const CHECK_INTERVAL_MS = 2000;
/** Longer than the pools of common HTTP clients keep a connection, so it is they who close first. */
const KEEP_ALIVE_MS = 75_000;

/** Takes a request over. */
export type Begin = (req: IncomingMessage, res: ServerResponse, expectsContinue: boolean) => void;

/**
 * @param runningOn the unfinished responses of a connection
 * @param headersTimeout ms a caller has for its request headers
 */
export function createListener(
  begin: Begin,
  runningOn: (socket: Duplex) => readonly ServerResponse[],
  headersTimeout: number,
): Server {
  const server = createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout,
    // Bodies have an idle limit instead: a large upload over a slow line is not an attack.
    requestTimeout: 0,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // We answer a missing Host ourselves, with a reason.
    requireHostHeader: false,
    insecureHTTPParser: false,
    noDelay: true,
  });
  server.on('request', (req, res) => begin(req, res, false));
  server.on('checkContinue', (req, res) => begin(req, res, true));
  server.on('checkExpectation', (req, res) => begin(req, res, false));
  server.on('connect', (_req, socket) => {
    if (isOwnFault(runningOn(socket))) refuse(socket, 'CALLER_METHOD_REFUSED');
    else socket.destroy();
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const mayAnswer = socket.writable && error.code !== 'ECONNRESET' && isOwnFault(runningOn(socket));
    if (mayAnswer) refuse(socket, parserFault(error.code));
    else socket.destroy();
  });
  return server;
}

/**
 * Malformed bytes may be answered when nothing is running on the connection, or when they are the body of the one
 * request that is. Behind a complete request they may not: the caller would take our 400 for the answer to its payment.
 */
function isOwnFault([first, ...others]: readonly ServerResponse[]): boolean {
  return first === undefined || (others.length === 0 && !first.req.complete && !first.headersSent);
}

function parserFault(code: string | undefined): ErrorCode {
  if (code === 'HPE_HEADER_OVERFLOW') return 'CALLER_HEADERS_TOO_LARGE';
  return code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 'CALLER_TIMEOUT' : 'CALLER_REQUEST_INVALID';
}

/** For connections where Node has no response object, and no listener for errors any more. */
function refuse(socket: Duplex, code: ErrorCode): void {
  socket.on('error', () => socket.destroy());
  const { status, headers, body } = toProblem(new SidecarError(code), 'none');
  const lines = Object.entries({ ...headers, Connection: 'close' }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${code}\r\n${lines.join('')}\r\n${body}`, () => socket.destroy());
}
