/**
 * An error as a caller sees it (RFC 9457): for a response object, or as text for a bare socket.
 */

import { ERRORS, type SidecarError } from './errors.ts';
import { sentences } from './failure.ts';

/**
 * Renders an error as status, headers and RFC 9457 body. The text comes only from our tables and names of servers.
 * @param mayHaveExecuted whether the API may have executed the call; undefined = no call was involved
 */
export function toProblem(
  error: SidecarError,
  requestId: string,
  mayHaveExecuted?: boolean,
): { status: number; headers: Record<string, string>; body: string } {
  const row = ERRORS[error.code];
  const { retryAfterS } = error.extras;
  const body = JSON.stringify({
    type: `urn:aritma-sidecar:error:${error.code}`,
    title: row.title,
    status: row.status,
    code: error.code,
    detail: detailOf(error, row.detail, mayHaveExecuted),
    cause: error.extras.failure?.cause,
    requestId,
    ...(mayHaveExecuted === undefined ? {} : { mayHaveExecuted }),
  });
  const headers: Record<string, string> = {
    'Content-Type': 'application/problem+json',
    'Content-Length': String(Buffer.byteLength(body)),
    'Cache-Control': 'no-store',
    'X-Sidecar-Error': error.code,
    'X-Request-Id': requestId,
  };
  if (retryAfterS !== undefined) headers['Retry-After'] = String(Math.max(1, Math.ceil(retryAfterS)));
  return { status: row.status, headers, body };
}

/** The concrete failure where there is one, and whether it is safe to send the request again. */
function detailOf({ code, extras: { failure } }: SidecarError, general: string, mayHaveExecuted?: boolean): string {
  if (failure === undefined) return general;
  const said = sentences(failure);
  if (!code.startsWith('UPSTREAM_') || mayHaveExecuted === undefined) return said;
  return `${said} ${mayHaveExecuted ? 'The API may have executed the request: ask the API before you send it again.' : 'Nothing was sent: it is safe to try again.'}`;
}

/** A whole HTTP/1.1 response; close the connection after it. Its request id is `none`: there is no parsed request. */
export function rawResponse(error: SidecarError, mayHaveExecuted = error.extras.mayHaveExecuted ?? false): string {
  const { status, headers, body } = toProblem(error, 'none', mayHaveExecuted);
  const lines = Object.entries({ ...headers, Connection: 'close' }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${error.code}\r\n${lines.join('')}\r\n${body}`;
}
