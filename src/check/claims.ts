/**
 * Reads the claims of a token (times, scopes, audience, issuer) to find mistakes before an API does, or to explain its
 * refusal. The only place that reads a token, and only these claims. An opaque token has none.
 */
import { decodeJwt } from 'jose';
import type { Words } from '../core/failure.ts';
import type { Secret } from '../core/secret.ts';
import { parseObject } from '../net/bounded-request.ts';
import type { TokenTarget } from '../oauth/credential.ts';
import { shown } from './finding.ts';

export interface Issued {
  readonly authorization: Secret;
  /** Body of the token endpoint's response, with `expires_in` and `scope`. */
  readonly body: string;
  readonly target: TokenTarget;
  /** The configured issuer, if any. */
  readonly issuer: string | undefined;
  /** Epoch ms. */
  readonly now: number;
}

type Claims = Readonly<Record<string, unknown>>;

const SHORT_S = 60;
const LONG_S = 24 * 3600;
/** Clocks of two machines always differ a little. */
const TOLERANCE_S = 60;

/** Returns what is wrong with a token that the server issued but that will probably not work at the API. */
export function doubts(issued: Issued): Words[] {
  const response = parseObject(issued.body) ?? {};
  const claims = claimsOf(issued.authorization);
  return [
    lifetime(response, claims),
    scopes(response, claims, issued.target),
    ...(claims ? [audience(claims, issued.target), issuer(claims, issued), times(claims, issued.now)] : []),
  ].filter((words) => words !== undefined);
}

/** Whether the token's own claims give it more than a day. */
export function isLongLived({ authorization }: Issued): boolean {
  return (ownLifetimeS(claimsOf(authorization)) ?? 0) > LONG_S;
}

/** A call that an API refused, and what the route is meant to send. */
export interface Refused {
  readonly authorization: Secret;
  readonly status: 401 | 403;
  /** Host of the API. */
  readonly host: string;
  readonly target: TokenTarget;
  readonly issuer: string | undefined;
  /** The tenant that the route names in a header, if it does. */
  readonly tenant: string | undefined;
  /** The scopes that the API says it needs (RFC 6750 §3). */
  readonly needs: readonly string[];
  /** Epoch ms. */
  readonly now: number;
}

/**
 * Returns why an API may refuse the token, as far as its claims show, compared with the route.
 * `cause` is absent when nothing in the claims explains it.
 */
export function whyRefused(refused: Refused): Omit<Words, 'cause'> & { readonly cause?: string } {
  const { authorization, status, host, target, now } = refused;
  const claims = claimsOf(authorization);
  if (!claims) {
    return {
      cause: 'token_opaque',
      message: 'the token is not a JWT but opaque, so only the identity server can read it',
      fix: 'ask the API’s operator whether it accepts opaque tokens or only JWTs; the client may have the wrong accessTokenType',
    };
  }
  const invalid = () =>
    times(claims, now) ??
    issuer(claims, refused) ??
    audience(claims, target) ??
    environment(claims, host) ??
    audienceMissing(claims);
  const wrong = (status === 401 ? invalid() : undefined) ?? needed(claims, refused) ?? tenant(claims, refused);
  if (wrong) return wrong;
  const list = shown(listOf(claims['aud']).join(', '));
  const left = Math.round((numberOf(claims['exp']) ?? 0) - now / 1000);
  return {
    message: `the token has issuer ${shown(claims['iss'])}, audience ${list}, scope ${shown(scopesOf(claims).join(' ')) || 'none'}${left > 0 ? ` and is valid for ${left} s` : ''}`,
    fix: 'compare issuer and audience with what the API expects; `audience`, `resource` and `scope` of the route set the audience; if both are right, the API does not know the key that signed the token',
  };
}

function scopesOf(claims: Claims): string[] {
  return [claims['scope'], claims['scp']].flatMap(listOf).flatMap((text) => text.split(' '));
}

/** Scopes of the route, or those that the API names, that the token does not have. */
function needed(claims: Claims, { target, needs }: Refused): Words | undefined {
  const has = scopesOf(claims);
  // Some servers put roles in the token, and no scope at all.
  const asked = has.length > 0 ? (target.scope?.split(' ') ?? []) : [];
  const wanted = needs.length > 0 ? needs : asked;
  const missing = wanted.filter((name) => !has.includes(name));
  if (missing.length === 0) return undefined;
  const names = shown(missing.join(' '));
  const by = needs.length > 0 ? 'the API needs' : 'the route asks for';
  return {
    cause: 'token_scope_missing',
    message: `${by} the scope ${names}, and the token has: ${shown(has.join(' ')) || 'none'}`,
    fix: `add ${names} to \`scope\` of the route and to the client’s allowedScopes in Aritma IAM`,
  };
}

const TENANT_CLAIMS = ['tid', 'tenant', 'tenant_id', 'TenantId'] as const;

function tenant(claims: Claims, { tenant: wanted }: Refused): Words | undefined {
  const stated = TENANT_CLAIMS.flatMap((name) => listOf(claims[name]));
  if (wanted === undefined || stated.length === 0 || stated.includes(wanted)) return undefined;
  return {
    cause: 'token_tenant_differs',
    message: `the token is for the tenant ${shown(stated.join(', '))}, but the route sends TenantId ${wanted}`,
    fix: 'correct TenantId in `headers` of the route, or use a client of that tenant',
  };
}

const ENVIRONMENT = /(?:^|[.-])(dev|test|stag(?:e|ing)|qa|uat|sandbox|demo)(?=[.-])/i;

/** Finds a dev token sent to a prod API, or the other way round, by the names of the hosts. */
function environment(claims: Claims, host: string): Words | undefined {
  const issuer = String(claims['iss']);
  const name = URL.canParse(issuer) ? new URL(issuer).hostname : '';
  // An IP address or a name without a domain does not show its environment.
  if (![name, host].every((text) => /\.[a-z]+$/i.test(text))) return undefined;
  const [theirs, its] = [name, host].map((text) => ENVIRONMENT.exec(text)?.[1]?.toLowerCase() ?? 'prod');
  if (theirs === its) return undefined;
  const message = `the token comes from ${shown(issuer)}, which by its name belongs to another environment than ${host}`;
  const cause = 'token_environment_differs';
  return {
    cause,
    message,
    fix: 'use token endpoint and upstream of the same environment: dev tokens do not work in prod',
  };
}

function audienceMissing(claims: Claims): Words | undefined {
  if (listOf(claims['aud']).length > 0) return undefined;
  const fix =
    'set `scope`, `audience` or `resource` of the route to the values of the API: they set the audience of a token';
  const cause = 'token_audience_missing';
  return { cause, message: 'the token has no audience, but an API accepts only tokens issued for it', fix };
}

function claimsOf(authorization: Secret): Claims | undefined {
  try {
    return decodeJwt(authorization.reveal().slice('Bearer '.length));
  } catch {
    // Opaque: nothing to read.
    return undefined;
  }
}

function ownLifetimeS(claims: Claims | undefined): number | undefined {
  const start = numberOf(claims?.['iat']) ?? numberOf(claims?.['nbf']);
  const end = numberOf(claims?.['exp']);
  return start === undefined || end === undefined ? undefined : numberOf(end - start);
}

function lifetime(response: Claims, claims: Claims | undefined): Words | undefined {
  const stated = numberOf(response['expires_in']);
  const own = ownLifetimeS(claims);
  const shortest = Math.min(stated ?? Number.POSITIVE_INFINITY, own ?? Number.POSITIVE_INFINITY);
  if (shortest < SHORT_S) {
    return {
      cause: 'token_short_lived',
      message: `the token lives only ${Math.floor(shortest)} s, so the sidecar fetches new ones all the time`,
      fix: 'raise the client’s access token lifetime in Aritma IAM; an hour is usual',
    };
  }
  if (stated === undefined || own === undefined || Math.abs(stated - own) <= TOLERANCE_S) return undefined;
  return {
    cause: 'token_lifetime_differs',
    message: `expires_in is ${Math.floor(stated)} s but the token's exp claim gives ${Math.floor(own)} s; the sidecar uses the shorter one`,
    fix: 'tell Aritma: its response contradicts itself',
  };
}

function scopes(response: Claims, claims: Claims | undefined, { scope }: TokenTarget): Words | undefined {
  const granted = [claims?.['scope'], claims?.['scp'], response['scope']].find((value) => value !== undefined);
  if (granted === undefined || scope === undefined) return undefined;
  const list = listOf(granted).flatMap((text) => text.split(' '));
  const missing = scope.split(' ').filter((name) => !list.includes(name));
  if (missing.length === 0) return undefined;
  return {
    cause: 'token_scope_missing',
    message: `the token lacks the scope ${missing.join(' ')}; it has: ${shown(list.join(' ')) || 'none'}`,
    fix: 'add the scope to the client’s allowedScopes in Aritma IAM, or correct `scope`',
  };
}

function audience(claims: Claims, { audience: wanted }: TokenTarget): Words | undefined {
  const list = listOf(claims['aud']);
  if (wanted === undefined || list.includes(wanted)) return undefined;
  return {
    cause: 'token_audience_differs',
    message: `the token is for ${shown(list.join(', ')) || 'no audience'}, not for the configured audience ${wanted}`,
    fix: 'correct `audience`, or ask Aritma which audience the API expects; it refuses tokens for any other',
  };
}

function issuer(claims: Claims, { issuer: wanted }: Pick<Issued, 'issuer'>): Words | undefined {
  const stated = claims['iss'];
  if (wanted === undefined || stated === undefined || stated === wanted) return undefined;
  return {
    cause: 'token_issuer_differs',
    message: `the token comes from the issuer ${shown(stated)}, not from the configured issuer ${wanted}`,
    fix: 'set issuer to the value in the token; dev tokens do not work in prod, nor prod tokens in dev',
  };
}

const CLOCK_FIX = 'synchronize this machine’s clock (NTP); if it is right, the identity server’s clock is wrong';

function times(claims: Claims, now: number): Words | undefined {
  const nowS = now / 1000;
  const notBefore = numberOf(claims['nbf']);
  if (notBefore !== undefined && notBefore > nowS + TOLERANCE_S) {
    return {
      cause: 'token_not_yet_valid',
      message: `by this machine's clock, the token becomes valid only in ${Math.round(notBefore - nowS)} s`,
      fix: CLOCK_FIX,
    };
  }
  const expires = numberOf(claims['exp']);
  if (expires === undefined || expires > nowS) return undefined;
  return {
    cause: 'token_expired',
    message: `by this machine's clock, the new token expired ${Math.round(nowS - expires)} s ago`,
    fix: CLOCK_FIX,
  };
}

function numberOf(value: unknown): number | undefined {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isFinite(number) ? number : undefined;
}

function listOf(value: unknown): string[] {
  return [value].flat().filter((one) => typeof one === 'string');
}
