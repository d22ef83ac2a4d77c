/**
 * Where an issuer has its token endpoint and keys (RFC 8414, OpenID Connect Discovery): fetched once, kept, and fetched
 * again after a failure. A document that does not speak for the configured issuer is refused, so a misdirected request
 * cannot move the secret to another server.
 */
import type { Dispatcher } from 'undici';
import type { Failure } from '../core/failure.ts';
import { parseObject, sendBounded } from '../net/bounded-request.ts';
import { failureAt } from '../net/connection-errors.ts';
import type { Place } from '../net/place.ts';

export interface Discovered {
  readonly tokenEndpoint: string;
  readonly jwksUri: string | undefined;
}

/** `failed` is from a closed list, because it becomes a metric label. */
export type DiscoveryOutcome =
  | { readonly found: Discovered }
  | { readonly failed: 'discovery' | 'discovery_mismatch'; readonly failure?: Failure | undefined };

export interface DiscoveryOptions {
  /** As configured, `https://id.aritma.io`, without a trailing slash. */
  readonly issuer: string;
  /** Bound to the issuer's origin. */
  readonly dispatcher: Dispatcher;
  /** Path of the issuer, `` or `/tenant`. */
  readonly basePath: string;
  /** Where that is, for the account of a failure. */
  readonly place?: Place | undefined;
  readonly deadlineMs: number;
  /** Whether a secret may be sent to this URL: https, or loopback, or spelled unsafe. */
  readonly isAcceptable: (url: string) => boolean;
}

export interface Discovery {
  /** Never rejects; concurrent callers share one fetch. */
  find(): Promise<DiscoveryOutcome>;
  /** What was found did not work: ask again next time. */
  forget(): void;
}

const MAX_BODY_BYTES = 256 * 1024;

export function createDiscovery(options: DiscoveryOptions): Discovery {
  let kept: Promise<DiscoveryOutcome> | undefined;
  return {
    async find() {
      const asked = kept ?? fetchDocument(options);
      kept = asked;
      const outcome = await asked;
      if ('failed' in outcome && kept === asked) kept = undefined;
      return outcome;
    },
    forget() {
      kept = undefined;
    },
  };
}

async function fetchDocument(options: DiscoveryOptions): Promise<DiscoveryOutcome> {
  const outcome = await sendBounded(options.dispatcher, {
    method: 'GET',
    path: `${options.basePath}/.well-known/openid-configuration`,
    headers: { accept: 'application/json' },
    ...{ deadlineMs: options.deadlineMs, maxBytes: MAX_BODY_BYTES },
  });
  // Network or deadline: for the caller both are "not now".
  if (outcome.failed)
    return { failed: 'discovery', failure: options.place && failureAt(outcome.failed, options.place) };
  if (outcome.tooLarge || outcome.response.status !== 200) return { failed: 'discovery' };
  const document = parseObject(outcome.response.body);
  return document ? interpretDocument(document, options) : { failed: 'discovery' };
}

/** RFC 8414 §3.3: the issuer in the document must be the one it was asked of, character by character. */
export function interpretDocument(
  { issuer: stated, token_endpoint, jwks_uri }: Readonly<Record<string, unknown>>,
  { issuer, isAcceptable }: Pick<DiscoveryOptions, 'issuer' | 'isAcceptable'>,
): DiscoveryOutcome {
  if (stated !== issuer) return { failed: 'discovery_mismatch' };
  if (typeof token_endpoint !== 'string' || !isAcceptable(token_endpoint)) return { failed: 'discovery' };
  const jwksUri = typeof jwks_uri === 'string' && isAcceptable(jwks_uri) ? jwks_uri : undefined;
  return { found: { tokenEndpoint: token_endpoint, jwksUri } };
}
