/**
 * An error as a caller sees it (RFC 9457): for a response object, or as bytes where Node has none.
 */

import { ERRORS, type SidecarError } from './errors.ts';

/**
 * Renders an error as status, headers and RFC 9457 body. Only table text and `extras.mayHaveExecuted` reach the body.
 */
export function toProblem(
  error: SidecarError,
  requestId: string,
): { status: number; headers: Record<string, string>; body: string } {
  const row = ERRORS[error.code];
  const { retryAfterS, mayHaveExecuted } = error.extras;
  const body = JSON.stringify({
    type: `urn:aritma-sidecar:error:${error.code}`,
    title: row.title,
    status: row.status,
    code: error.code,
    detail: row.detail,
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

/** A whole HTTP/1.1 response; close the connection after it. It belongs to no request, so it has no id. */
export function rawResponse(error: SidecarError): string {
  const { status, headers, body } = toProblem(error, 'none');
  const lines = Object.entries({ ...headers, Connection: 'close' }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${error.code}\r\n${lines.join('')}\r\n${body}`;
}
