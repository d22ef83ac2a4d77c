/**
 * Optional proof that a token really is the issuer's and for us: signature against the issuer's keys, issuer, audience,
 * expiry (RFC 9068 §4). The API checks all that itself; this finds a misconfiguration before the API does.
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
  /** The issuer's key set, from discovery; undefined when there is none to be had now. */
  readonly jwksUri: () => Promise<string | undefined>;
  /** Connections to where the keys are. */
  readonly dispatcherFor: (url: string) => Dispatcher;
  readonly deadlineMs: number;
  readonly clock: Clock;
}

export type Verify = (authorization: Secret) => Promise<Exclude<TokenResponse, { kind: 'token' }> | undefined>;

/** Clocks of server and sidecar may differ; expiry is kept by elapsed time anyway. */
const CLOCK_TOLERANCE_S = 300;
const MAX_KEYS_BYTES = 256 * 1024;
/** More that fit are not tried: each costs time. */
const MAX_KEYS = 50;
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512'];

/** Keys are taken for what they are for so long. */
const MAX_AGE_MS = 600_000;
/** Fetches of the keys because of one token: so many at once, and another one every so often. */
const REFETCHES = { atOnce: 4, everyMs: 15_000 } as const;

interface KeySet {
  readonly uri: string;
  readonly keys: readonly JWK[];
  readonly since: Instant;
}

/**
 * Resolves with why a token must not be used, undefined when it may. Where no key that is kept verifies it, the keys are
 * fetched once more, within a rate, and all that fit are tried: a server may have replaced one, under the same `kid` too.
 */
export function createVerifier(options: VerifierOptions): Verify {
  const keySet = createKeySet(options);
  return async (authorization) => {
    // Few ask for it, and it would cost everybody's start.
    const jose = await import('jose');
    const token = authorization.reveal().slice('Bearer '.length);
    const first = await keySet.find();
    if (!first) return { kind: 'unavailable', result: 'jwks' };
    const refusal = await judge(jose, token, first.set.keys, options);
    // A token request never waits for the keys twice.
    if (refusal !== 'no key' || first.isNew) return refusal && { kind: 'malformed', result: 'not_verified' };
    const again = await keySet.refetch();
    if (again === 'too often') return { kind: 'malformed', result: 'not_verified' };
    if (!again) return { kind: 'unavailable', result: 'jwks' };
    return (await judge(jose, token, again.keys, options)) && { kind: 'malformed', result: 'not_verified' };
  };
}

/** `no key`: none of these verifies the signature; `refused`: whatever the keys, it must not be used. */
async function judge(jose: Jose, token: string, keys: readonly JWK[], { issuer, audience }: VerifierOptions) {
  const expected = {
    issuer,
    algorithms: ALGORITHMS,
    clockTolerance: CLOCK_TOLERANCE_S,
    requiredClaims: ['exp'],
    ...(audience !== undefined && { audience }),
  };
  try {
    const { kid } = jose.decodeProtectedHeader(token);
    // Each by itself: one that cannot be read must not hide the others.
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
    // No JWT at all.
    return 'refused';
  }
}

/** The issuer's keys, fetched one at a time whoever asks; those that were had last are kept while no new ones can be had. */
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
    async find(): Promise<{ readonly set: KeySet; readonly isNew: boolean } | undefined> {
      const uri = await jwksUri();
      const current = uri === undefined || kept?.uri === uri ? kept : undefined;
      if (current && (uri === undefined || elapsedSince(current.since, clock.now()) < MAX_AGE_MS))
        return { set: current, isNew: false };
      const set = uri === undefined ? undefined : await fetchNow(uri);
      return set ? { set, isNew: true } : current && { set: current, isNew: false };
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

/** Over the credential's own connections, with its proxy and CA, never following a redirect. */
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
