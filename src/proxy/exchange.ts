/**
 * A route, and one request on its way through it: what the steps of the data path hand on to each other.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import type { Dispatcher } from 'undici';
import type { RouteMetrics } from '../core/metrics.ts';
import type { Direct } from '../net/egress.ts';
import type { Token, TokenKey } from '../oauth/token.ts';
import type { RoutePattern } from './admission.ts';
import type { RequestHead } from './headers.ts';
import type { QuotaLimits } from './rate-limits.ts';
import type { RequestBody } from './request-body.ts';
import type { Depart } from './response-writer.ts';
import type { Rewrite } from './rewrite.ts';
import type { UpgradeResponse } from './upgrade.ts';

/** What gives a route its tokens; see `TokenSource` for what the two promise. */
export interface RouteTokens {
  readonly key: TokenKey;
  get(): Token | Promise<Token>;
  renew(stale: Token): Token | Promise<Token> | undefined;
}

/** A configured route, ready to be used; its dispatcher is bound to one origin for life. */
export interface Route extends RoutePattern {
  readonly dispatcher: Dispatcher;
  /** For WebSockets. */
  readonly direct: Direct;
  /** True for the failure of a connection that had carried an answer before. */
  readonly wasReused: (error: Error) => boolean;
  readonly tokens: RouteTokens;
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

/** Node 24.14 and later; the types do not know it yet. */
export interface Informing {
  writeInformation(status: number, headers: readonly string[]): void;
}

/** A request that has gone to its upstream, or is queued for it. */
export interface Underway {
  /** Gives up as late. */
  expire(): void;
  /** The caller's side is closed, orderly or not. */
  callerClosed(): void;
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
  /** Told how much of a large answer has come. */
  readonly passed: (bytes: number) => void;
  /** Where the ends of answers meet. */
  readonly depart: Depart;
  /** The try that is on its way. As closures in members of their own, they let V8 keep nearly every request until a full collection. */
  attempt?: Underway | undefined;
  /** From sending the request to the head of its answer, ms. */
  upstreamMs?: number;
  bytesOut: number;
  replayed: boolean;
}

/** As the caller addressed us, for answers that point back. */
export function callerOrigin({ req, head }: Exchange): string | undefined {
  const [host] = head.hosts;
  return host && `${req.socket instanceof TLSSocket ? 'https' : 'http'}://${host}`;
}
