/**
 * A configured route, ready to be used. Its dispatcher is bound to one origin for life, so no request can choose where it
 * goes.
 */

import type { Dispatcher } from 'undici';
import { SidecarError } from '../core/errors.ts';
import type { RouteMetrics } from '../core/metrics.ts';
import { failureAt } from '../net/connection-errors.ts';
import type { Direct } from '../net/egress.ts';
import type { Place } from '../net/place.ts';
import type { Token, TokenKey } from '../oauth/token.ts';
import type { RoutePattern } from './admission.ts';
import type { QuotaLimits } from './rate-limits.ts';
import type { Rewrite } from './rewrite.ts';

/** What gives a route its tokens; see `TokenSource` for what the two promise. */
export interface RouteTokens {
  readonly key: TokenKey;
  get(): Token | Promise<Token>;
  renew(stale: Token): Token | Promise<Token>;
}

export interface Route extends RoutePattern {
  readonly dispatcher: Dispatcher;
  /** For WebSockets. */
  readonly direct: Direct;
  /** True for the failure of a connection that had carried a response before. */
  readonly wasReused: (error: Error) => boolean;
  /** Whether requests wait for a connection to become free. */
  readonly isBusy: () => boolean;
  /** Its API, for the account of a failure. */
  readonly place: Place;
  readonly tokens: RouteTokens;
  readonly metrics: RouteMetrics;
  readonly limits: QuotaLimits;
  readonly replayOn401: 'once' | 'never';
  /** Whether WebSockets are let through. */
  readonly upgrade: boolean;
  /** Undefined when messages pass as they are. */
  readonly rewrite: Rewrite | undefined;
  /** Requests without a connection yet, those included that nobody waits for any more; and how many there may be. */
  readonly waiting: Set<object>;
  readonly maxWaiting: number;
  /** Longest wait for a connection, ms. */
  readonly queueMs: number;
  /** For metrics. */
  readonly onReplay: (reason: 'unauthorized' | 'stale_connection') => void;
}

/** For a call that has had all the time it may take. @param started whether bytes may have been written */
export function outOfTime({ place }: Route, started: boolean): SidecarError {
  const failure = failureAt({ code: 'UND_ERR_HEADERS_TIMEOUT' }, place);
  return new SidecarError('UPSTREAM_TIMEOUT', { mayHaveExecuted: started, failure });
}
