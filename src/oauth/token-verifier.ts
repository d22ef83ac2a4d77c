/**
 * Optional proof that a token really is the issuer's and for us: signature against the issuer's keys, issuer, audience,
 * expiry (RFC 9068 §4). The API checks all that itself; this finds a misconfiguration before the API does.
 */
import type { Dispatcher } from 'undici';
import type { Secret } from '../core/secret.ts';
import { sendBounded } from '../net/bounded-request.ts';
import type { TokenResponse } from './token-endpoint.ts';

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
}

export type Verify = (authorization: Secret) => Promise<Exclude<TokenResponse, { kind: 'token' }> | undefined>;

/** Clocks of server and sidecar may differ; expiry is kept by elapsed time anyway. */
const CLOCK_TOLERANCE_S = 300;
const MAX_KEYS_BYTES = 256 * 1024;
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512'];

/** Resolves with why a token must not be used, undefined when it may. Keys are kept and refetched for an unknown `kid`. */
export function createVerifier(options: VerifierOptions): Verify {
  let keys: { uri: string; resolve: ReturnType<Jose['createRemoteJWKSet']> } | undefined;
  return async (authorization) => {
    // Few ask for it, and it would cost everybody's start.
    const jose = await import('jose');
    const uri = await options.jwksUri();
    if (uri === undefined) return { kind: 'unavailable', result: 'jwks' };
    if (keys?.uri !== uri) keys = { uri, resolve: remoteKeys(jose, uri, options) };
    try {
      await jose.jwtVerify(authorization.reveal().slice('Bearer '.length), keys.resolve, {
        issuer: options.issuer,
        algorithms: ALGORITHMS,
        clockTolerance: CLOCK_TOLERANCE_S,
        requiredClaims: ['exp'],
        ...(options.audience !== undefined && { audience: options.audience }),
      });
      return undefined;
    } catch (error) {
      const ours = error instanceof jose.errors.JWKSTimeout || !(error instanceof jose.errors.JOSEError);
      return ours ? { kind: 'unavailable', result: 'jwks' } : { kind: 'malformed', result: 'not_verified' };
    }
  };
}

/** Fetched over the credential's own connections, with its proxy and CA, never following a redirect. */
function remoteKeys(jose: Jose, uri: string, { dispatcherFor, deadlineMs }: VerifierOptions) {
  const dispatcher = dispatcherFor(uri);
  const { pathname, search } = new URL(uri);
  const headers = { accept: 'application/json' };
  return jose.createRemoteJWKSet(new URL(uri), {
    async [jose.customFetch]() {
      const request = {
        method: 'GET',
        path: pathname + search,
        headers,
        deadlineMs,
        maxBytes: MAX_KEYS_BYTES,
      } as const;
      const { response, failed } = await sendBounded(dispatcher, request);
      if (failed) throw failed;
      return response.status === 200 ? new Response(response.body) : new Response(null, { status: 502 });
    },
  });
}
