/**
 * A route, and one request on its way through it: what the steps of the data path hand on to each other.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Dispatcher } from 'undici';
import type { RouteMetrics } from '../metrics.ts';
import type { TokenSource } from '../oauth/token-source.ts';
import type { RoutePattern } from './admission.ts';
import type { RequestBody } from './body.ts';
import type { RequestHead } from './headers.ts';
import type { QuotaLimits } from './quota.ts';
import type { Rewrite } from './rewrite.ts';
import type { UpgradeResponse } from './upgrade.ts';

/** A configured route, ready to be used; its dispatcher is bound to one origin for life. */
export interface Route extends RoutePattern {
  readonly dispatcher: Dispatcher;
  /** True for the failure of a connection that had carried an answer before. */
  readonly wasReused: (error: Error) => boolean;
  readonly tokens: TokenSource;
  readonly metrics: RouteMetrics;
  readonly limits: QuotaLimits;
  readonly replayOn401: 'once' | 'never';
  /** Whether WebSockets are let through. */
  readonly upgrade: boolean;
  readonly rewrite: Rewrite;
  /** Longest wait for a connection, ms. */
  readonly queueMs: number;
  /** For metrics. */
  readonly onReplay: (reason: 'unauthorized' | 'stale_connection') => void;
}

/** One caller's request on its way. */
export interface Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly head: Pick<RequestHead, 'forward' | 'hosts'>;
  readonly requestId: string;
  readonly route: Route;
  /** Path and query for the upstream. */
  readonly path: string;
  readonly body: RequestBody;
  /** Longest time the caller may leave our answer unread, ms. */
  readonly stallMs: number;
  /** `res`, where it may become a tunnel. */
  readonly upgrade: UpgradeResponse | undefined;
  /** Flat headers of ours for the request and its answer. */
  readonly added: readonly string[];
  /** Gives up as late; there once it is on its way. */
  expire?: () => void;
  /** From sending the request to the head of its answer, ms. */
  upstreamMs?: number;
  bytesOut: number;
  replayed: boolean;
}
