/**
 * Optional verification of tokens: signature against the issuer's keys, issuer, audience, expiry (RFC 9068 §4). The API
 * checks the same; this finds a misconfiguration before the first call does.
 */
import type { JWK } from 'jose';
import type { Dispatcher } from 'undici';
import { type Clock, elapsedSince, type Instant } from '../core/clock.ts';
import type { Secret } from '../core/secret.ts';
import { parseObject, sendBounded } from '../net/bounded-request.ts';
import type { TokenResponse } from './token-response.ts';

type Jose = typeof import('jose');

export interface VerifierOptions {
  readonly issuer: string;
  /** Undefined = any audience. */
  readonly audience: string | undefined;
  /** URL of the issuer's key set, from discovery; undefined when it is not available now. */
  readonly jwksUri: () => Promise<string | undefined>;
  /** Connects to the server of the key set. */
  readonly dispatcherFor: (url: string) => Dispatcher;
  readonly deadlineMs: number;
  readonly clock: Clock;
}

/** Resolves with the reason why a token must not be used; undefined when it may. */
export type Verify = (authorization: Secret) => Promise<Exclude<TokenResponse, { kind: 'token' }> | undefined>;

/** Allowed clock difference; the real expiry is measured by elapsed time. */
const CLOCK_TOLERANCE_S = 300;
const MAX_KEYS_BYTES = 256 * 1024;
/** At most this many keys are tried per token: each costs time. */
const MAX_KEYS = 50;
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512'];

/** Cached keys are used for this long. */
const MAX_AGE_MS = 600_000;
/** Rate limit of fetches that a token without a matching key causes. */
const REFETCHES = { atOnce: 4, everyMs: 15_000 } as const;

interface KeySet {
  readonly uri: string;
  readonly keys: readonly JWK[];
  readonly since: Instant;
}

/**
 * Creates the verification of one issuer's tokens. When no cached key verifies a token, the keys are fetched again, rate
 * limited, and all matching ones are tried: a server may have replaced a key, even under the same `kid`.
 * @example
 * const reason = await createVerifier(options)(token.authorization);
 */
export function createVerifier(options: VerifierOptions): Verify {
  const keySet = createKeySet(options);
  return async (authorization) => {
    // Loaded on first use: most set-ups do not need it, and it slows the start.
    const jose = await import('jose');
    const token = authorization.reveal().slice('Bearer '.length);
    const first = await keySet.find();
    if (!first) return { kind: 'unavailable', result: 'jwks' };
    const refusal = await verifyWith(jose, token, first.set.keys, options);
    // A token request waits for the keys at most once.
    if (refusal === 'no key' && first.asked === 'in vain') return { kind: 'unavailable', result: 'jwks' };
    if (refusal !== 'no key' || first.asked) return refusal && { kind: 'malformed', result: 'not_verified' };
    const again = await keySet.refetch();
    if (again === 'too often') return { kind: 'malformed', result: 'not_verified' };
    if (!again) return { kind: 'unavailable', result: 'jwks' };
    return (await verifyWith(jose, token, again.keys, options)) && { kind: 'malformed', result: 'not_verified' };
  };
}

/** `no key`: none of the keys verifies the signature; `refused`: the token must not be used, whatever the keys. */
async function verifyWith(jose: Jose, token: string, keys: readonly JWK[], { issuer, audience }: VerifierOptions) {
  const expected = {
    issuer,
    algorithms: ALGORITHMS,
    clockTolerance: CLOCK_TOLERANCE_S,
    requiredClaims: ['exp'],
    ...(audience !== undefined && { audience }),
  };
  try {
    const { kid } = jose.decodeProtectedHeader(token);
    // One at a time: an unreadable key must not hide the others.
    const fitting = keys.filter((one) => kid === undefined || one.kid === undefined || one.kid === kid);
    for (const key of fitting.slice(0, MAX_KEYS)) {
      const only = jose.createLocalJWKSet({ keys: [{ ...key, kid }] as JWK[] });
      const outcome = await jose.jwtVerify(token, only, expected).catch((error: unknown) => error);
      if (!(outcome instanceof Error)) return undefined;
      if (outcome instanceof jose.errors.JWTClaimValidationFailed || outcome instanceof jose.errors.JWTExpired)
        return 'refused';
    }
    return 'no key';
  } catch {
    // Not a JWT.
    return 'refused';
  }
}

/** The issuer's keys. Concurrent callers share one fetch; the last keys stay in use while new ones cannot be fetched. */
function createKeySet(options: VerifierOptions) {
  const { clock, jwksUri } = options;
  let kept: KeySet | undefined;
  let flight: Promise<KeySet | undefined> | undefined;
  let spare: number = REFETCHES.atOnce;
  let spentAt = clock.now();
  let line: { readonly uri: string; readonly dispatcher: Dispatcher } | undefined;
  const fetchNow = (uri: string) => {
    if (line?.uri !== uri) line = { uri, dispatcher: options.dispatcherFor(uri) };
    flight ??= fetchKeys(line, options.deadlineMs).then((keys) => {
      flight = undefined;
      if (keys) kept = { uri, keys, since: clock.now() };
      return kept?.uri === uri && keys ? kept : undefined;
    });
    return flight;
  };
  return {
    async find(): Promise<{ readonly set: KeySet; readonly asked?: 'just now' | 'in vain' } | undefined> {
      const uri = await jwksUri();
      const current = uri === undefined || kept?.uri === uri ? kept : undefined;
      if (current && (uri === undefined || elapsedSince(current.since, clock.now()) < MAX_AGE_MS))
        return { set: current };
      if (uri === undefined) return undefined;
      const set = await fetchNow(uri);
      return set ? { set, asked: 'just now' } : current && { set: current, asked: 'in vain' };
    },
    async refetch(): Promise<KeySet | 'too often' | undefined> {
      const now = clock.now();
      spare = Math.min(REFETCHES.atOnce, spare + elapsedSince(spentAt, now) / REFETCHES.everyMs);
      spentAt = now;
      if (!kept || spare < 1) return 'too often';
      spare -= 1;
      return fetchNow(kept.uri);
    },
  };
}

/** Fetches a key set over the credential's own connections, with its proxy and CA; never follows a redirect. */
async function fetchKeys(
  { uri, dispatcher }: { readonly uri: string; readonly dispatcher: Dispatcher },
  deadlineMs: number,
): Promise<JWK[] | undefined> {
  const { pathname, search } = new URL(uri);
  const request = { path: pathname + search, headers: { accept: 'application/json' }, deadlineMs } as const;
  const { response } = await sendBounded(dispatcher, { method: 'GET', ...request, maxBytes: MAX_KEYS_BYTES });
  const keys = response?.status === 200 ? parseObject(response.body)?.['keys'] : undefined;
  return Array.isArray(keys) ? keys.filter((key): key is JWK => typeof key === 'object' && key !== null) : undefined;
}
