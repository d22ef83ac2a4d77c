/**
 * What went wrong on the way to an API, in our own codes: foreign errors are translated here and nowhere else. And
 * whether a 401 is about the token.
 */

import { errors } from 'undici';
import { SidecarError } from '../core/errors.ts';

/** @param started whether bytes may have been written */
export function translate(error: Error & { code?: string }, started: boolean): SidecarError {
  if (error instanceof SidecarError) return error;
  const code = error.code ?? '';
  if (code === 'UND_ERR_INVALID_ARG') return new SidecarError('CALLER_REQUEST_INVALID', { cause: error });
  const extras = { mayHaveExecuted: started, cause: error, fields: { errno: code } };
  if (!started) return new SidecarError('UPSTREAM_UNREACHABLE', extras);
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
    return new SidecarError('UPSTREAM_TIMEOUT', extras);
  }
  const notHttp = isNotHttp(error, code);
  return new SidecarError(notHttp ? 'UPSTREAM_INVALID' : 'UPSTREAM_RESET', extras);
}

/**
 * An answer that is no HTTP/1.1, as undici says it: parser errors have no code, a status below 100 trips an assertion,
 * unasked 100 and 101 are "bad". ERR_HTTP_* is Node refusing to write such an answer on.
 */
function isNotHttp(error: Error, code: string): boolean {
  const known = /^(?:UND_ERR_HEADERS_OVERFLOW|UND_ERR_RES_CONTENT_LENGTH_MISMATCH|ERR_HTTP_.*|ERR_ASSERTION)$/.test(
    code,
  );
  return known || error instanceof errors.HTTPParserError || /^bad (?:response|upgrade)$/.test(error.message);
}
