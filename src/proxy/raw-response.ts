/**
 * An error as the bytes of an HTTP answer, for connections on which Node has no response object.
 */
import type { SidecarError } from '../core/errors.ts';
import { toProblem } from '../core/problem.ts';

/** A whole HTTP/1.1 answer, after which the connection has to be closed. It belongs to no request, so has no id. */
export function rawResponse(error: SidecarError): string {
  const { status, headers, body } = toProblem(error, 'none');
  const lines = Object.entries({ ...headers, Connection: 'close' }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${error.code}\r\n${lines.join('')}\r\n${body}`;
}
