/** Interprets the response of a token endpoint, as a pure function. */
import { decodeJwt } from 'jose/jwt/decode';
import type { Instant } from '../core/clock.ts';
import type { Failure } from '../core/failure.ts';
import { Secret } from '../core/secret.ts';
import { parseObject } from '../net/bounded-request.ts';

/** The meaning of a token response. */
export type TokenResponse =
  | {
      readonly kind: 'token';
      /** The whole header value, `Bearer …`. */
      readonly authorization: Secret;
      readonly lifetimeS: number;
      /** The part of the lifetime that may have passed before the token was issued: JWT times are whole seconds. */
      readonly roundedOffS?: number | undefined;
      /** True when the response names no lifetime. */
      readonly assumedLifetime: boolean;
      /** When `lifetimeS` began; absent = before the request was sent. */
      readonly since?: Instant | undefined;
      /** What had passed of the whole lifetime before `since`; absent = nothing. */
      readonly passedS?: number | undefined;
      /** Another member of the fleet has fetched it. */
      readonly isShared?: boolean;
    }
  /** The server refused the request; a retry changes nothing. `result` is the OAuth error code. */
  | ({ readonly kind: 'rejected' } & Failed)
  /** Network, overload or server error: a later retry may work. */
  | ({ readonly kind: 'unavailable'; readonly retryAfterS?: number | undefined } & Failed)
  /** The response is not a token response (RFC 6749 §5). */
  | ({ readonly kind: 'malformed' } & Failed);

interface Failed {
  /** From a closed list. */
  readonly result: string;
  /** The message for people. Absent when the request has no `place`. */
  readonly failure?: Failure | undefined;
}

export interface RawResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

const MAX_TOKEN_CHARS = 12 * 1024;
const MAX_LIFETIME_S = 24 * 3600;
/** RFC 6749 §5.1 only RECOMMENDS `expires_in`. This is the lifetime without it and without a JWT `exp`. */
const ASSUMED_LIFETIME_S = 300;
const MAX_RETRY_AFTER_S = 300;
/** RFC 6750 §2.1 b64token: any other character could end the header line. */
const B64TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;
/** RFC 6749 §5.2, RFC 8707 §2, and `access_denied` of RFC 6749 §4.1.2.1, which servers also send here. */
const REJECTIONS: ReadonlySet<string> = new Set([
  'invalid_client',
  'invalid_request',
  'invalid_grant',
  'invalid_scope',
  'invalid_target',
  'unauthorized_client',
  'unsupported_grant_type',
  'access_denied',
]);

/**
 * Returns the meaning of a response.
 * @param nowMs epoch ms, for Retry-After dates and tokens without `expires_in`
 * @example
 * interpretTokenResponse({ status: 400, headers: {}, body: '{"error":"invalid_client"}' }, Date.now());
 * // { kind: 'rejected', result: 'invalid_client' }
 */
export function interpretTokenResponse(response: RawResponse, nowMs: number): TokenResponse {
  const { status } = response;
  if (status === 429 || status === 408 || status >= 500) {
    return { kind: 'unavailable', result: `http_${statusLabel(status)}`, retryAfterS: retryAfter(response, nowMs) };
  }
  if (status !== 200 && status !== 400 && status !== 401 && status !== 403) {
    const redirect = status >= 300 && status < 400;
    return { kind: 'malformed', result: redirect ? 'redirect' : status === 404 ? 'http_404' : 'http_other' };
  }
  const body = parseObject(response.body);
  if (!body) return { kind: 'malformed', result: 'not_json' };
  const { error } = body;
  if (typeof error === 'string') {
    if (REJECTIONS.has(error)) return { kind: 'rejected', result: error };
    return { kind: 'unavailable', result: 'oauth_other', retryAfterS: retryAfter(response, nowMs) };
  }
  return status === 200 ? interpretToken(body, nowMs) : { kind: 'malformed', result: 'no_error_code' };
}

function statusLabel(status: number): string {
  return status === 429 || status === 408 || [500, 502, 503, 504].includes(status) ? String(status) : '5xx';
}

function interpretToken(body: Record<string, unknown>, nowMs: number): TokenResponse {
  const { access_token: token, token_type: type } = body;
  if (typeof token !== 'string' || token.length > MAX_TOKEN_CHARS || !B64TOKEN.test(token)) {
    return { kind: 'malformed', result: 'bad_token' };
  }
  if (typeof type !== 'string' || type.toLowerCase() !== 'bearer')
    return { kind: 'malformed', result: 'bad_token_type' };
  const stated = body['expires_in'] === undefined ? undefined : toSeconds(body['expires_in']);
  if (stated !== undefined && !(stated >= 1)) return { kind: 'malformed', result: 'bad_expires_in' };
  const claimed = claimedLifetime(token, nowMs / 1000);
  const lifetimeS = Math.min(
    stated ?? claimed?.lifetimeS ?? ASSUMED_LIFETIME_S,
    claimed?.lifetimeS ?? Infinity,
    MAX_LIFETIME_S,
  );
  if (lifetimeS < 1) return { kind: 'malformed', result: 'bad_expires_in' };
  return {
    kind: 'token',
    authorization: new Secret(`Bearer ${token}`),
    lifetimeS,
    // At least half of the lifetime remains, even for a token of one second.
    roundedOffS: claimed && Math.min(lifetimeS / 2, Math.max(0, lifetimeS - claimed.lifetimeS + claimed.roundedOffS)),
    assumedLifetime: stated === undefined && claimed === undefined,
  };
}

/** Returns a number or a numeric string rounded down; NaN for anything else. */
function toSeconds(value: unknown): number {
  if (typeof value === 'number') return Math.floor(value);
  return typeof value === 'string' && /^\d{1,15}(\.\d+)?$/.test(value) ? Math.floor(Number(value)) : Number.NaN;
}

/**
 * Returns the lifetime that a JWT states; undefined for an opaque token. With `iat` it is the difference of two server
 * times, so a wrong local clock does not matter. Claims are untrusted: one that is not a finite number counts as absent.
 */
function claimedLifetime(token: string, nowS: number): { lifetimeS: number; roundedOffS: number } | undefined {
  const { exp, iat } = claimsOf(token);
  if (!isTime(exp)) return undefined;
  if (!isTime(iat)) return { lifetimeS: Math.floor(exp - nowS), roundedOffS: 0 };
  // When both clocks agree to the second, the local one has the fraction that `iat` lacks.
  const agoS = nowS - iat;
  const roundedOffS = Number.isInteger(exp) ? (agoS >= 0 && agoS < 1 ? agoS : 1) : 0;
  return { lifetimeS: Math.floor(exp - iat), roundedOffS };
}

function claimsOf(token: string): Readonly<Record<string, unknown>> {
  try {
    return decodeJwt(token);
  } catch {
    // An opaque token has no claims.
    return {};
  }
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

/** Returns Retry-After in seconds, at most 300 (RFC 9110 §10.2.3: seconds or a date); undefined when absent or invalid. */
function retryAfter({ headers }: RawResponse, nowMs: number): number | undefined {
  const value = headers['retry-after'];
  if (typeof value !== 'string') return undefined;
  // Date.parse accepts nearly anything; an HTTP-date begins with the name of the day.
  const dateMs = /^[A-Z][a-z]{2}/.test(value) ? Date.parse(value) : Number.NaN;
  const seconds = /^\d{1,9}$/.test(value) ? Number(value) : (dateMs - nowMs) / 1000;
  return seconds > 0 ? Math.min(Math.ceil(seconds), MAX_RETRY_AFTER_S) : undefined;
}
