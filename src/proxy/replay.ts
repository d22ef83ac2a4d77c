/**
 * When a request may be sent a second time: never for convenience, only where it cannot have been executed or does no
 * harm if it was (RFC 9110 §9.2.2). Here a wrong yes is a payment made twice.
 */

import { errors } from 'undici';
import { SidecarError } from '../core/errors.ts';
import { failureAt } from '../net/connection-errors.ts';
import type { Place } from '../net/place.ts';
import type { Token } from '../oauth/token.ts';
import { isSafe } from './admission.ts';
import { type Challenge, readChallenges } from './challenges.ts';
import type { Exchange } from './exchange.ts';
import type { Route } from './route.ts';

/**
 * After a 401: the token for a second try, if this response blames the one that was sent and the same bytes are at
 * hand; undefined when the caller gets the 401. A token that is blamed is renewed in either case, for the calls to come.
 */
export function renewedToken(
  { body, replayed, methods }: Exchange,
  route: Route,
  { stale, challenges }: { readonly stale: Token; readonly challenges: readonly string[] },
): Promise<Token> | undefined {
  if (replayed || !blamesToken(challenges, methods.every(isSafe))) return undefined;
  const renewed = renew(route, stale);
  if (route.replayOn401 === 'once' && body.kind !== 'stream') return renewed;
  // Whoever comes next is told what became of it.
  renewed.catch(() => undefined);
  return undefined;
}

/** While it backs off it throws at once; as a promise that goes the same way as a failed fetch. */
async function renew({ tokens }: Route, stale: Token): Promise<Token> {
  return tokens.renew(stale);
}

/** After a broken connection: only what is safe, and only on one used before that died before it said anything. */
export function mayTryAgain(
  { replayed, body, methods }: Exchange,
  route: Route,
  { responded, error }: { readonly responded: boolean; readonly error: Error },
): boolean {
  const untouched = !replayed && !responded && body.kind !== 'stream';
  return untouched && methods.every(isSafe) && route.wasReused(error);
}

/**
 * A Bearer challenge says the token was not accepted (RFC 6750 §3), so nothing ran. Without any that can be read only safe
 * methods may go again, and never for want of scope: a new token has no more of it.
 */
function blamesToken(lines: readonly string[], isSafe: boolean): boolean {
  const challenges = readChallenges(lines);
  if (challenges === undefined) return isSafe && !lines.some((line) => /insufficient_scope/i.test(line));
  if (challenges.length === 0) return isSafe;
  const bearers = challenges.filter(({ scheme }) => scheme === 'bearer');
  return bearers.length > 0 && !bearers.some(wantsScope);
}

function wantsScope({ parameters }: Challenge): boolean {
  return parameters.some(([name, value]) => name === 'error' && value.toLowerCase() === 'insufficient_scope');
}

/** @param started whether bytes may have been written */
export function translate(error: Error & { code?: string }, place: Place, started: boolean): SidecarError {
  if (error instanceof SidecarError) return error;
  const code = error.code ?? '';
  if (code === 'UND_ERR_INVALID_ARG') return new SidecarError('CALLER_REQUEST_INVALID', { cause: error });
  const met = { mayHaveExecuted: started, cause: error, fields: { errno: code } };
  if (code === 'UND_ERR_DESTROYED') return new SidecarError('SIDECAR_STOPPED', met);
  const notHttp = isNotHttp(error, code);
  const extras = { ...met, failure: failureAt(notHttp ? { code: code || 'HPE_INVALID' } : error, place) };
  if (!started) return new SidecarError('UPSTREAM_UNREACHABLE', extras);
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
    return new SidecarError('UPSTREAM_TIMEOUT', extras);
  }
  return new SidecarError(notHttp ? 'UPSTREAM_INVALID' : 'UPSTREAM_RESET', extras);
}

/**
 * A response that is no HTTP/1.1, as undici reports it: parser errors have no code, a status below 100 trips an
 * assertion, unasked 100 and 101 are "bad". HPE_* are errors of Node's own parser; with ERR_HTTP_* Node refuses to
 * forward such a response.
 */
function isNotHttp(error: Error, code: string): boolean {
  const known =
    /^(?:UND_ERR_HEADERS_OVERFLOW|UND_ERR_RES_CONTENT_LENGTH_MISMATCH|ERR_HTTP_.*|ERR_ASSERTION|HPE_.*)$/.test(code);
  return known || error instanceof errors.HTTPParserError || /^bad (?:response|upgrade)$/.test(error.message);
}
