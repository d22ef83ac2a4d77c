/**
 * Calls an API with its token, over the same connections as the sidecar: does it respond, and does it accept the token?
 * Any other response to its root path is fine.
 */
import type { LoadedConfig } from '../config/load.ts';
import type { RouteConfig } from '../config/schema.ts';
import type { ErrorCode } from '../core/errors.ts';
import type { Words } from '../core/failure.ts';
import type { Secret } from '../core/secret.ts';
import { failureWords } from '../net/connection-errors.ts';
import { createEgress } from '../net/egress.ts';
import { placeOf } from '../net/place.ts';
import { tokenKey } from '../oauth/credentials.ts';
import { redirectTarget } from '../oauth/token-errors.ts';
import type { RawResponse } from '../oauth/token-response.ts';
import { whyRefused } from './claims.ts';
import { FINDING, type Finding } from './finding.ts';
import { ask, LIMIT_MS } from './request.ts';

/** Sends one GET to the route's base path. Never throws for what the API or network does. */
export async function callUpstream(route: RouteConfig, authorization: Secret, loaded: LoadedConfig): Promise<Finding> {
  const { upstream, path } = route;
  const subject = `upstream ${path} → ${upstream.origin}${upstream.basePath}`;
  const owner = `route ${path}`;
  const egress = createEgress(upstream, { loaded, connections: 1, owner });
  const { response, failed } = await ask(egress.dispatcher, {
    path: upstream.basePath || '/',
    headers: { accept: 'application/json', ...addedBy(route), authorization: authorization.reveal() },
    limitMs: LIMIT_MS.upstream,
    maxBytes: 0,
  });
  await egress.destroy();
  if (response) return judge(subject, response, { route, authorization, loaded });
  const leg = { base: upstream, owner, option: 'upstream' };
  const place = { ...placeOf(leg, loaded, LIMIT_MS.upstream), stage: 'response' as const };
  const words = failureWords(failed, place);
  return FINDING.error(subject, CODES[words.cause] ?? 'UPSTREAM_UNREACHABLE', words);
}

/** As `accept` is in lower case, the route's own replaces it. */
function addedBy({ headers }: RouteConfig): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).map(([name, { value }]) => [name.toLowerCase(), value]));
}

/** The code that a caller of the sidecar would get, by cause. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  answer_timeout: 'UPSTREAM_TIMEOUT',
  connection_reset: 'UPSTREAM_RESET',
  not_http: 'UPSTREAM_INVALID',
};

interface Asked {
  readonly route: RouteConfig;
  readonly authorization: Secret;
  readonly loaded: LoadedConfig;
}

function judge(subject: string, response: RawResponse, asked: Asked): Finding {
  const { status, headers } = response;
  const { origin } = asked.route.upstream;
  const challenge = String(headers['www-authenticate'] ?? '');
  if (status === 401) {
    const words = explained(unauthorized(challenge), challenge, claimed(401, challenge, asked));
    return FINDING.error(subject, 'UPSTREAM_REFUSED_TOKEN', words);
  }
  if (status === 403) return forbidden(subject, challenge, claimed(403, challenge, asked));
  if (status >= 500) {
    return FINDING.warning(subject, 'UPSTREAM_UNREACHABLE', {
      cause: 'upstream_server_error',
      message: `reached, but the API or a gateway in front of it fails (HTTP ${status})`,
      fix: 'try again later; if it still fails, call a path that should work, and ask the API’s operator',
    });
  }
  if (status >= 300 && status < 400) return redirected(subject, response, origin);
  if (status === 404)
    return FINDING.ok(subject, 'reached, and the token is accepted (HTTP 404, which is usual for a root path)');
  return FINDING.ok(subject, `reached (HTTP ${status})`);
}

const SCOPE_FIX = 'set `scope` to what the API requires, and add it to the client’s allowedScopes in Aritma IAM';

/** Known reasons in `WWW-Authenticate`. The finding uses these texts, never the server's: it could send anything. */
const REASONS: readonly (readonly [pattern: RegExp, cause: string, why: string, fix: string])[] = [
  [
    /audience/i,
    'audience',
    'the token is for another audience',
    'correct `audience` or `scope` of the route: they set the audience of a token',
  ],
  [
    /issuer/i,
    'issuer',
    'the API does not know the token’s issuer',
    'check that token endpoint and API belong together: dev tokens do not work in prod',
  ],
  [
    /signature|key was not found/i,
    'signature',
    'the API cannot verify the token’s signature',
    'check that token endpoint and API belong together: dev tokens do not work in prod',
  ],
  [
    /not.?(yet|before)|lifetime.*future/i,
    'not_yet_valid',
    'for the API, the token is not valid yet',
    'the clocks of identity server and API differ: tell Aritma; also check this machine’s clock',
  ],
  [
    /expired/i,
    'expired',
    'for the API, the token has expired',
    'the clocks of identity server and API differ: tell Aritma; also check this machine’s clock',
  ],
  [/insufficient_scope|scope/i, 'scope', 'the token lacks a scope', SCOPE_FIX],
];

type Claimed = ReturnType<typeof whyRefused>;

/** What the claims of the token show, compared with the route. */
function claimed(status: 401 | 403, challenge: string, { route, authorization, loaded: { config } }: Asked): Claimed {
  const [, scope = ''] = /\bscope="?([^",]*)/i.exec(challenge) ?? [];
  return whyRefused({
    ...{ authorization, status, host: route.upstream.hostname, target: tokenKey(route, config) },
    issuer: config.credentials[route.credential]?.issuer?.text,
    tenant: tenantOf(route),
    // What a server sends is shown only where it is a name.
    needs: scope.split(' ').filter((name) => SCOPE.test(name)),
    now: Date.now(),
  });
}

const SCOPE = /^[\w.:/-]{1,60}$/;

/** Value of the header with which a route names its tenant. */
function tenantOf({ headers }: RouteConfig): string | undefined {
  const [, header] = Object.entries(headers).find(([name]) => /^tenant-?id$/i.test(name)) ?? [];
  return header?.value;
}

/** The causes that the claims can give, as causes of a refusal. */
const CLAIMED: Readonly<Record<string, string>> = {
  token_expired: 'expired',
  token_not_yet_valid: 'not_yet_valid',
  token_issuer_differs: 'issuer',
  token_environment_differs: 'issuer',
  token_audience_differs: 'audience',
  token_audience_missing: 'audience',
  token_scope_missing: 'scope',
  token_tenant_differs: 'tenant',
};

/** Adds what the token's claims show; it becomes the cause if the API gives no reason. */
function explained(words: Words, challenge: string, why: Claimed): Words {
  const isBearer = /^\s*bearer/i.test(challenge);
  const isInvalid = /invalid_token/i.test(challenge);
  // Who expects other credentials has not read the token.
  if (!isInvalid && (!isBearer || why.cause === undefined)) return words;
  const isKnown = words.cause !== 'upstream_401';
  const cause = CLAIMED[why.cause ?? ''];
  const byClaims = cause === undefined ? words.cause : `upstream_401_${cause}`;
  return {
    cause: isInvalid && !isKnown ? 'upstream_401_invalid_token' : isKnown ? words.cause : byClaims,
    message: `${words.message}; ${why.message}`,
    fix: isKnown ? words.fix : why.fix,
  };
}

function unauthorized(challenge: string): Words {
  const [, cause, why, fix] = REASONS.find(([pattern]) => pattern.test(challenge)) ?? [];
  if (cause !== undefined && why !== undefined && fix !== undefined) {
    return { cause: `upstream_401_${cause}`, message: `the API refuses the token: ${why} (HTTP 401)`, fix };
  }
  const message = /^\s*bearer/i.test(challenge)
    ? 'the API refuses the token (HTTP 401) and gives no reason'
    : 'the API responds with HTTP 401 and does not ask for a bearer token: it, or a gateway in front of it, expects other credentials';
  return {
    cause: 'upstream_401',
    message,
    fix: 'check scope and audience of the route, and that token endpoint and API belong to the same environment',
  };
}

function forbidden(subject: string, challenge: string, why: Claimed): Finding {
  if (/insufficient_scope/i.test(challenge)) {
    const said = 'the API refuses the token: it lacks a scope (HTTP 403, insufficient_scope)';
    const isShown = why.cause === 'token_scope_missing';
    return FINDING.error(subject, 'UPSTREAM_REFUSED_TOKEN', {
      cause: 'upstream_403_scope',
      message: isShown ? `${said}; ${why.message}` : said,
      fix: isShown ? why.fix : SCOPE_FIX,
    });
  }
  const cause = CLAIMED[why.cause ?? ''];
  if (cause !== undefined) {
    return FINDING.error(subject, 'UPSTREAM_REFUSED_TOKEN', {
      cause: `upstream_403_${cause}`,
      message: `the API does not allow this call (HTTP 403); ${why.message}`,
      fix: why.fix,
    });
  }
  return FINDING.warning(subject, 'UPSTREAM_REFUSED_TOKEN', {
    cause: 'upstream_403',
    message: 'the API accepts the token but does not allow this client to call its root path (HTTP 403)',
    fix: 'give the client a policy in Aritma IAM for what it does; if it has one, the API may allow only certain IP addresses',
  });
}

function redirected(subject: string, response: RawResponse, origin: string): Finding {
  const target = redirectTarget(response);
  const status = `HTTP ${response.status}`;
  if (target === undefined || target === origin)
    return FINDING.ok(subject, `reached (${status}, a redirect on the same server)`);
  const secured =
    target === origin.replace(/^http:/, 'https:') || new URL(target).hostname === new URL(origin).hostname;
  if (secured && target.startsWith('https:') && origin.startsWith('http:')) {
    return FINDING.error(subject, 'UPSTREAM_INVALID', {
      cause: 'upstream_wants_https',
      message: `the API redirects to ${target} (${status}), and the token has crossed the network unencrypted`,
      fix: `use ${target} in upstream`,
    });
  }
  return FINDING.warning(subject, 'UPSTREAM_REFUSED_TOKEN', {
    cause: 'upstream_redirect',
    message: `the API redirects to ${target} (${status}): another server, or a login page for people`,
    fix: 'check upstream, including its path; the sidecar passes redirects to the caller and never follows them with the token',
  });
}
