/**
 * When a request may be sent a second time: never for convenience, only where it cannot have been executed or does no
 * harm if it was (RFC 9110 §9.2.2). Here a wrong yes is a payment made twice.
 */
import type { Token } from '../oauth/token.ts';
import type { Exchange } from './exchange.ts';
import type { Route } from './route.ts';

const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * After a 401: the token to go again with, if this answer blames the one that was sent and the same bytes are at hand;
 * undefined when the 401 is the answer.
 */
export function renewedToken(
  { body, replayed, req }: Exchange,
  route: Route,
  { stale, challenges }: { readonly stale: Token; readonly challenges: readonly string[] },
): Promise<Token> | undefined {
  if (replayed || route.replayOn401 === 'never' || body.kind === 'stream') return undefined;
  if (!blamesToken(challenges, SAFE.has(req.method ?? ''))) return undefined;
  try {
    const renewed = route.tokens.renew(stale);
    return renewed && Promise.resolve(renewed);
  } catch (error) {
    // While it backs off it throws at once; as a promise that goes the same way as a failed fetch.
    return Promise.reject(error);
  }
}

/** After a broken connection: only what is safe, and only on one used before that died before it said anything. */
export function mayTryAgain(
  { replayed, body, req }: Exchange,
  route: Route,
  { responded, error }: { readonly responded: boolean; readonly error: Error },
): boolean {
  const untouched = !replayed && !responded && body.kind !== 'stream';
  return untouched && SAFE.has(req.method ?? '') && route.wasReused(error);
}

/** A Bearer challenge says the token was not accepted, so nothing ran; without any, only safe methods may go again. */
function blamesToken(challenges: readonly string[], isSafe: boolean): boolean {
  if (challenges.length === 0) return isSafe;
  return challenges.some(
    (challenge) => /(?:^|,)\s*bearer\b/i.test(challenge) && !/insufficient_scope/i.test(challenge),
  );
}
