/**
 * Decides when a request may be sent a second time: only when it cannot have been executed, or when executing it twice does
 * no harm (RFC 9110 §9.2.2). A wrong decision here is a payment made twice.
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
 * Returns the token for a second try after a 401, if the response blames the token and the same body can be sent again;
 * undefined when the caller gets the 401. A blamed token is then renewed for later calls, which may use it until there is
 * a new one: a call that is refused again and again does not make the others wait.
 */
export function renewedToken(
  { body, sent, methods, trace }: Exchange,
  route: Route,
  { stale, challenges }: { readonly stale: Token; readonly challenges: readonly string[] },
): Promise<Token> | undefined {
  // One that another member has fetched may be as dead as the one before it: then this member fetches its own.
  const most = stale.isShared ? 2 : 1;
  if (sent > most || !blamesToken(challenges, methods.every(isSafe))) return undefined;
  if (route.replayOn401 === 'once' && body.kind !== 'stream') {
    const renewed = renew(route, stale);
    return trace?.waits(renewed, route.tokens.key.credential, true) ?? renewed;
  }
  route.tokens.renewLater(stale);
  return undefined;
}

/** During a back-off `renew` throws; as a rejection it is handled like a failed fetch. */
async function renew({ tokens }: Route, stale: Token): Promise<Token> {
  return tokens.renew(stale);
}

/** Whether to retry after a broken connection: only safe methods, on a reused connection, before any response. */
export function mayTryAgain(
  { replayed, body, methods }: Exchange,
  route: Route,
  { responded, error }: { readonly responded: boolean; readonly error: Error },
): boolean {
  const untouched = !replayed && !responded && body.kind !== 'stream';
  return untouched && methods.every(isSafe) && route.wasReused(error);
}

/**
 * A Bearer challenge means that the token was not accepted (RFC 6750 §3), so nothing was executed. Without a readable one,
 * only safe methods are retried. Never for a missing scope: a new token has the same scope.
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

/** Returns the SidecarError for an error of undici or of a socket. @param started whether bytes may have been written */
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
 * Whether the response is not valid HTTP/1.1, as undici reports it: parser errors have no code, a status below 100 fails an
 * assertion, an unexpected 100 or 101 is "bad". HPE_* comes from Node's parser; with ERR_HTTP_* Node refuses to forward the
 * response.
 */
function isNotHttp(error: Error, code: string): boolean {
  const known =
    /^(?:UND_ERR_HEADERS_OVERFLOW|UND_ERR_RES_CONTENT_LENGTH_MISMATCH|ERR_HTTP_.*|ERR_ASSERTION|HPE_.*)$/.test(code);
  return known || error instanceof errors.HTTPParserError || /^bad (?:response|upgrade)$/.test(error.message);
}
