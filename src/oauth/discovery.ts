/**
 * Finds an issuer's token endpoint and keys (RFC 8414, OpenID Connect Discovery). The document is fetched once, cached, and
 * fetched again after a failure. A document of another issuer is refused: a misdirected request must not send the secret
 * to another server.
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
  /** `https://id.aritma.io`, as configured, without a trailing slash. */
  readonly issuer: string;
  /** Connects to the issuer's origin only. */
  readonly dispatcher: Dispatcher;
  /** Path of the issuer: empty, or `/tenant`. */
  readonly basePath: string;
  /** Names the server in failure messages. */
  readonly place?: Place | undefined;
  readonly deadlineMs: number;
  /** Whether a secret may be sent to this URL; see `isAcceptable` in credentials.ts. */
  readonly isAcceptable: (url: string) => boolean;
}

export interface Discovery {
  /** Never rejects; concurrent callers share one fetch. */
  find(): Promise<DiscoveryOutcome>;
  /** Drops the cached document: its endpoint did not work. */
  forget(): void;
}

const MAX_BODY_BYTES = 256 * 1024;

/**
 * Creates the discovery of one issuer; nothing is fetched before `find`.
 * @example
 * const outcome = await createDiscovery(options).find();
 * if ('found' in outcome) connect(outcome.found.tokenEndpoint);
 */
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
  // Network error or time limit: both mean "not available now".
  if (outcome.failed)
    return { failed: 'discovery', failure: options.place && failureAt(outcome.failed, options.place) };
  if (outcome.tooLarge || outcome.response.status !== 200) return { failed: 'discovery' };
  const document = parseObject(outcome.response.body);
  return document ? interpretDocument(document, options) : { failed: 'discovery' };
}

/** Reads a discovery document. Its issuer must equal the configured one, character by character (RFC 8414 §3.3). */
export function interpretDocument(
  { issuer: stated, token_endpoint, jwks_uri }: Readonly<Record<string, unknown>>,
  { issuer, isAcceptable }: Pick<DiscoveryOptions, 'issuer' | 'isAcceptable'>,
): DiscoveryOutcome {
  if (stated !== issuer) return { failed: 'discovery_mismatch' };
  if (typeof token_endpoint !== 'string' || !isAcceptable(token_endpoint)) return { failed: 'discovery' };
  const jwksUri = typeof jwks_uri === 'string' && isAcceptable(jwks_uri) ? jwks_uri : undefined;
  return { found: { tokenEndpoint: token_endpoint, jwksUri } };
}
