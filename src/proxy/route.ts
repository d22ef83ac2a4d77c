/**
 * A configured route, ready to be used. Its dispatcher connects to one fixed origin, so no request can choose its target
 * server.
 */
import type { Dispatcher } from 'undici';
import { SidecarError } from '../core/errors.ts';
import type { RouteMetrics } from '../core/metrics.ts';
import { failureAt } from '../net/connection-errors.ts';
import type { Direct } from '../net/egress.ts';
import type { Place, ResponseStage } from '../net/place.ts';
import type { Token, TokenKey } from '../oauth/token.ts';
import type { RoutePattern } from './admission.ts';
import type { Queue } from './queue.ts';
import type { QuotaLimits } from './rate-limits.ts';
import type { RequestBody } from './request-body.ts';
import type { Rewrite } from './rewrite.ts';

/** The token source of a route; `TokenSource` has the contract of its methods. */
export interface RouteTokens {
  readonly key: TokenKey;
  get(): Token | Promise<Token>;
  renew(stale: Token): Token | Promise<Token>;
  renewLater(stale: Token): void;
  isOver(token: Token): boolean;
}

export interface Route extends RoutePattern {
  readonly dispatcher: Dispatcher;
  /** For WebSockets, with the time limits of this route. */
  readonly direct: Direct;
  /** Time limit from a request's arrival to the end of its response, ms. */
  readonly totalMs: number | undefined;
  /** Whether this error is of a connection that had carried a response before. */
  readonly wasReused: (error: Error) => boolean;
  /** Names the API in failure messages. */
  readonly place: Place;
  readonly tokens: RouteTokens;
  readonly metrics: RouteMetrics;
  readonly limits: QuotaLimits;
  readonly replayOn401: 'once' | 'never';
  /** Whether WebSockets are allowed. */
  readonly upgrade: boolean;
  /** Undefined = headers are not rewritten. */
  readonly rewrite: Rewrite | undefined;
  /** Requests that wait for a connection. */
  readonly queue: Queue;
  /** For metrics. */
  readonly onReplay: (reason: 'unauthorized' | 'stale_connection') => void;
}

/**
 * Returns the UPSTREAM_TIMEOUT of a call that has used up its time.
 * @param started whether bytes may have been written
 * @param stage what was waited for; default: the end of the response
 */
export function outOfTime({ place }: Route, started: boolean, stage: ResponseStage = 'whole'): SidecarError {
  const failure = failureAt({ code: 'UND_ERR_HEADERS_TIMEOUT' }, { ...place, stage });
  return new SidecarError('UPSTREAM_TIMEOUT', { mayHaveExecuted: started, failure });
}

/**
 * Returns the token for another try of a request of which nothing was sent, because it waited for longer than its token lasted.
 * @throws SidecarError TOKEN_UNAVAILABLE, as a rejection, when its body went with the first try; or as `get` of the tokens
 */
export async function laterToken({ tokens }: Route, body: RequestBody['kind']): Promise<Token> {
  const { credential } = tokens.key;
  if (body === 'stream')
    throw new SidecarError('TOKEN_UNAVAILABLE', { retryAfterS: 1, fields: { credential, result: 'expired' } });
  return tokens.get();
}
