/**
 * What the token endpoint's responses mean, in plain words: OAuth error codes (RFC 6749 §5.2), HTTP around them, and
 * what is no response of a token endpoint at all. Repeats nothing of a body.
 */
import type { Words } from '../core/failure.ts';
import type { RawResponse, TokenResponse } from './token-response.ts';

export type Refusal = Exclude<TokenResponse, { kind: 'token' }>;

/** @param raw what came back, if anything did */
export function refusalWords(response: Refusal, raw: RawResponse | undefined): Words {
  const { result } = response;
  const special = raw && aroundHttp(raw, result);
  const { message, fix } = special ?? ROWS[result] ?? OTHERWISE[response.kind];
  return { cause: special?.cause ?? `token_${result}`, message: `${message} (${result})`, fix };
}

/** The origin a redirect leads to: enough to know who responds, too little to hold a session or a password. */
export function redirectTarget({ headers }: RawResponse): string | undefined {
  const location = headers['location'];
  if (typeof location !== 'string' || !URL.canParse(location)) return undefined;
  const { origin } = new URL(location);
  return origin === 'null' ? undefined : origin;
}

/** What is not OAuth's doing but that of something in between. */
function aroundHttp(raw: RawResponse, result: string): Words | undefined {
  const isPage = /^text\/html/i.test(String(raw.headers['content-type'])) || /^\s*<(!doctype|html)/i.test(raw.body);
  if (raw.status === 511) return PORTAL;
  if (raw.status === 407) return PROXY;
  if (result === 'redirect') {
    const target = redirectTarget(raw);
    const where = target === undefined ? 'another path of the same server' : target;
    const message = `the token endpoint responds with a redirect (HTTP ${raw.status}) to ${where}, which is never followed with a secret`;
    const fix =
      'if that is where Aritma’s identity server is, write it into tokenEndpoint; if it is a log-in page, a captive portal or proxy is in between';
    return { cause: 'token_redirect', message, fix };
  }
  if (!isPage || raw.status === 404 || raw.status >= 500) return undefined;
  const message = `a web page is where the token endpoint should be (HTTP ${raw.status})`;
  const fix =
    'compare tokenEndpoint, path included, with what Aritma gave you; if it is right, a captive portal, proxy or firewall shows its own page: have the host let through';
  return { cause: 'token_web_page', message, fix };
}

const PORTAL: Words = {
  cause: 'captive_portal',
  message: 'this network wants a log-in before it lets anything out: a captive portal responds',
  fix: 'log this machine in to the network, or use another one',
};

const PROXY: Words = {
  cause: 'proxy_credentials',
  message: 'a proxy in between wants a user and a password (HTTP 407)',
  fix: 'set HTTPS_PROXY with user and password, or have this host let through',
};

type Row = Omit<Words, 'cause'>;

const DISCOVERED =
  'open ISSUER/.well-known/openid-configuration; if there is none, configure tokenEndpoint instead of issuer';

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
    message: 'the identity server does not know client_credentials for this client',
    fix: 'add client_credentials to the client’s allowedGrantTypes in Aritma IAM; check that tokenEndpoint is the token endpoint',
  },
  invalid_scope: {
    message: 'a scope that is asked for is unknown or not allowed for this client',
    fix: 'correct `scope`, or add it to the client’s allowedScopes in Aritma IAM; one wrong scope refuses them all',
  },
  invalid_grant: {
    message: 'the identity server refuses this grant, although client_credentials has none that could be wrong',
    fix: 'take `parameters` that belong to other grants out, and ask Aritma about the client',
  },
  invalid_request: {
    message: 'the identity server does not understand the request',
    fix: 'check `auth` (Aritma documents client_secret_post) and `parameters`; a client id or secret longer than 100 characters is refused like this, too',
  },
  invalid_target: {
    message: 'the identity server does not know the API that `resource` or `audience` names',
    fix: 'correct `resource` and `audience`, or take them out: Aritma needs neither',
  },
  access_denied: {
    message: 'the identity server does not let this client have a token',
    fix: 'ask Aritma whether the client is disabled or limited to certain addresses',
  },
  not_verified: {
    message: 'the token does not verify: signature, issuer or audience is not the expected one',
    fix: 'compare issuer and audience with the token’s claims, or set verify: false for tokens that are no JWTs',
  },
  jwks: {
    message: 'the issuer’s keys cannot be had',
    fix: `check the way to the jwks_uri of the discovery document; ${DISCOVERED}`,
  },
  http_404: {
    message: 'there is nothing at this path: what responds (HTTP 404) is not a token response',
    fix: 'compare the path of tokenEndpoint with what Aritma gave you; it normally ends in /connect/token',
  },
  http_429: {
    message: 'the identity server says that there are too many requests from here (HTTP 429)',
    fix: 'wait some minutes, then look for programs that ask for tokens all the time; sidecars keep theirs',
  },
  timeout: {
    message: 'the token endpoint takes the request and does not respond in time',
    fix: 'try again later; if it stays so, raise token.attemptTimeout, or ask Aritma about its state',
  },
  bad_token_type: {
    message: 'the response holds a token that is no bearer token',
    fix: 'have the client issued bearer tokens: DPoP and the like cannot be used',
  },
  bad_expires_in: {
    message: 'the token in the response has expired already, or expires_in is no number of seconds',
    fix: 'check the token lifetime of the client, and this machine’s clock',
  },
};

const OTHERWISE: Readonly<Record<Refusal['kind'], Row>> = {
  rejected: {
    message: 'the identity server refuses the request',
    fix: 'compare clientId, auth, scope, audience and resource with what Aritma gave you',
  },
  malformed: {
    message: 'what came back is not a token response',
    fix: 'compare tokenEndpoint, path included, with what Aritma gave you: something else responds there',
  },
  unavailable: {
    message: 'the token endpoint is not available',
    fix: 'try again later; if it stays so, check the way to tokenEndpoint, or ask Aritma about its state',
  },
};
