/**
 * Failed token responses in plain words: OAuth error codes (RFC 6749 §5.2), HTTP errors, and responses of other servers.
 * Never repeats any part of a response body.
 */
import type { Words } from '../core/failure.ts';
import type { RawResponse, TokenResponse } from './token-response.ts';

export type Refusal = Exclude<TokenResponse, { kind: 'token' }>;

/**
 * Returns cause, message and fix of a failed token request.
 * @param raw the response; undefined when there was none
 * @example
 * refusalWords({ kind: 'rejected', result: 'invalid_scope' }, undefined).cause; // 'token_invalid_scope'
 */
export function refusalWords(response: Refusal, raw: RawResponse | undefined): Words {
  const { result } = response;
  const special = raw && aroundHttp(raw, result);
  const { message, fix } = special ?? ROWS[result] ?? OTHERWISE[response.kind];
  return { cause: special?.cause ?? `token_${result}`, message: `${message} (${result})`, fix };
}

/** Returns the origin of a redirect's target: path and query are left out, because they can hold a session or a password. */
export function redirectTarget({ headers }: RawResponse): string | undefined {
  const location = headers['location'];
  if (typeof location !== 'string' || !URL.canParse(location)) return undefined;
  const { origin } = new URL(location);
  return origin === 'null' ? undefined : origin;
}

/** Failures that come from HTTP or from a device on the way, not from OAuth. */
function aroundHttp(raw: RawResponse, result: string): Words | undefined {
  const isPage = /^text\/html/i.test(String(raw.headers['content-type'])) || /^\s*<(!doctype|html)/i.test(raw.body);
  if (raw.status === 511) return PORTAL;
  if (raw.status === 407) return PROXY;
  if (result === 'redirect') {
    const target = redirectTarget(raw);
    const where = target === undefined ? 'another path of the same server' : target;
    const message = `the token endpoint responds with a redirect (HTTP ${raw.status}) to ${where}; the sidecar never follows one with a secret`;
    const fix =
      'if that is Aritma’s identity server, write it into tokenEndpoint; if it is a log-in page, a captive portal or proxy intercepts the request';
    return { cause: 'token_redirect', message, fix };
  }
  if (!isPage || raw.status === 404 || raw.status >= 500) return undefined;
  const message = `a web page responds instead of the token endpoint (HTTP ${raw.status})`;
  const fix =
    'compare tokenEndpoint, path included, with what Aritma gave you; if it is correct, a captive portal, proxy or firewall sends its own page: have it allow this host';
  return { cause: 'token_web_page', message, fix };
}

const PORTAL: Words = {
  cause: 'captive_portal',
  message: 'this network requires a log-in: a captive portal responds instead of the identity server',
  fix: 'log this machine in to the network, or use another network',
};

const PROXY: Words = {
  cause: 'proxy_credentials',
  message: 'a proxy on the way requires a user name and a password (HTTP 407)',
  fix: 'put user name and password into HTTPS_PROXY, or have the proxy allow this host without them',
};

type Row = Omit<Words, 'cause'>;

const DISCOVERED =
  'open ISSUER/.well-known/openid-configuration; if it does not exist, configure tokenEndpoint instead of issuer';

const ROWS: Readonly<Record<string, Row>> = {
  invalid_client: {
    message:
      'the identity server does not accept client id and secret: the id is unknown or disabled, or every secret is wrong or expired',
    fix: 'compare the client id with Aritma IAM (dev and prod have different ones), create a new secret there and put it where the configuration reads it',
  },
  unauthorized_client: {
    message: 'the client exists but may not use client_credentials',
    fix: 'add client_credentials to the client’s allowedGrantTypes in Aritma IAM',
  },
  unsupported_grant_type: {
    message: 'the identity server does not support client_credentials for this client',
    fix: 'add client_credentials to the client’s allowedGrantTypes in Aritma IAM; check that tokenEndpoint is the token endpoint',
  },
  invalid_scope: {
    message: 'a requested scope is unknown or not allowed for this client',
    fix: 'correct `scope`, or add it to the client’s allowedScopes in Aritma IAM; one wrong scope makes the whole request fail',
  },
  invalid_grant: {
    message: 'the identity server refuses this grant, although client_credentials sends no code or refresh token',
    fix: 'remove `parameters` that belong to other grants, and ask Aritma about the client',
  },
  invalid_request: {
    message: 'the identity server does not understand the request',
    fix: 'check `auth` (Aritma documents client_secret_post) and `parameters`; a client id or secret longer than 100 characters also gets this error',
  },
  invalid_target: {
    message: 'the identity server has no API with this `resource` or `audience`',
    fix: 'correct `resource` and `audience`, or remove them: Aritma needs neither',
  },
  access_denied: {
    message: 'the identity server denies this client a token',
    fix: 'ask Aritma whether the client is disabled or limited to certain IP addresses',
  },
  not_verified: {
    message: 'the token fails verification: its signature, issuer, audience or expiry is wrong',
    fix: 'compare issuer and audience with the token’s claims, and the clock with the server’s; or set verify: false for tokens that are not JWTs',
  },
  jwks: {
    message: 'the issuer’s keys cannot be fetched',
    fix: `check the connection to the jwks_uri of the discovery document; ${DISCOVERED}`,
  },
  http_404: {
    message: 'there is nothing at this path: the server responds with HTTP 404',
    fix: 'compare the path of tokenEndpoint with what Aritma gave you; it normally ends in /connect/token',
  },
  http_429: {
    message: 'the identity server gets too many requests from here (HTTP 429)',
    fix: 'wait some minutes, then look for programs that request a token again and again; sidecars keep theirs',
  },
  timeout: {
    message: 'the token endpoint takes the request and does not respond in time',
    fix: 'try again later; if this continues, raise token.attemptTimeout, or ask Aritma about its status',
  },
  bad_token_type: {
    message: 'the token in the response is not a bearer token',
    fix: 'configure the client for bearer tokens: DPoP and other token types do not work',
  },
  bad_expires_in: {
    message: 'the token in the response has already expired, or expires_in is not a number of seconds',
    fix: 'check the client’s token lifetime and this machine’s clock',
  },
};

const OTHERWISE: Readonly<Record<Refusal['kind'], Row>> = {
  rejected: {
    message: 'the identity server refuses the request',
    fix: 'compare clientId, auth, scope, audience and resource with what Aritma gave you',
  },
  malformed: {
    message: 'the response is not a token response',
    fix: 'compare tokenEndpoint, path included, with what Aritma gave you: something else responds there',
  },
  unavailable: {
    message: 'the token endpoint is not available',
    fix: 'try again later; if this continues, check the connection to tokenEndpoint, or ask Aritma about its status',
  },
};
