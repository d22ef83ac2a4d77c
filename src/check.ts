/**
 * The doctor: tries what the sidecar will do, one step after the other, and says of each what is wrong and what to do
 * about it. Touches nothing but the token endpoint and, read-only, the root of each API.
 */
import type { Dispatcher } from 'undici';
import type { LoadedConfig } from './config/load.ts';
import type { Config } from './config/schema.ts';
import { createEgress } from './egress.ts';
import { ERRORS, type ErrorCode } from './errors.ts';
import { createIdentity, tokenKey } from './identity.ts';
import { systemClock } from './oauth/clock.ts';
import type { Credential } from './oauth/credentials.ts';
import type { TokenKey } from './oauth/token.ts';
import type { TokenAnswer } from './oauth/token-endpoint.ts';
import type { Secret } from './secret.ts';

export interface Finding {
  readonly level: 'ok' | 'warning' | 'error';
  /** `configuration`, `token default`, `upstream /banking`. */
  readonly subject: string;
  readonly message: string;
  /** What to do; absent when there is nothing to do. */
  readonly fix?: string;
  readonly code?: ErrorCode;
}

export interface CheckOptions {
  readonly upstream: boolean;
  /** Called as soon as there is something to say. */
  readonly onFinding: (finding: Finding) => void;
}

/** Plain words for OAuth error codes (RFC 6749 §5.2). */
const REJECTED: Readonly<Record<string, { message: string; fix: string }>> = {
  invalid_client: {
    message:
      'the identity server does not accept client id and secret: the id is unknown or disabled, or every secret is wrong or expired',
    fix: 'compare the client id with Aritma IAM, create a new secret there and put it where the configuration reads it',
  },
  unauthorized_client: {
    message: 'the client exists but may not use client_credentials',
    fix: 'add client_credentials to the client’s allowedGrantTypes in Aritma IAM',
  },
  invalid_scope: {
    message: 'a scope that is asked for is unknown or not allowed for this client',
    fix: 'correct `scope`, or add it to the client’s allowedScopes in Aritma IAM',
  },
};

/** Plain words for what happens on the way. */
const UNAVAILABLE: Readonly<Record<string, { message: string; fix: string }>> = {
  discovery: {
    message: 'the issuer’s discovery document cannot be had or names no usable token endpoint',
    fix: 'open ISSUER/.well-known/openid-configuration; if there is none, configure tokenEndpoint instead of issuer',
  },
  discovery_mismatch: {
    message: 'the discovery document speaks for another issuer than the configured one',
    fix: 'write issuer exactly as the document states it',
  },
  not_verified: {
    message: 'the token does not verify: signature, issuer or audience is not the expected one',
    fix: 'compare issuer and audience with the token’s claims, or set verify: false for tokens that are no JWTs',
  },
  jwks: { message: 'the issuer’s keys cannot be had', fix: 'check the way to the jwks_uri of the discovery document' },
  dns: {
    message: 'the host name of the token endpoint cannot be resolved',
    fix: 'check tokenEndpoint and this machine’s DNS',
  },
  refused: { message: 'nothing listens at the token endpoint', fix: 'check host and port of tokenEndpoint' },
  timeout: { message: 'the token endpoint does not answer in time', fix: 'check firewall and routing to it' },
  tls: {
    message: 'the certificate of the token endpoint is not accepted',
    fix: 'with a company CA in between, set NODE_EXTRA_CA_CERTS to its PEM file; also check this machine’s clock',
  },
};

/** Runs every step and returns the exit code of the first kind of failure met, 0 when all is well. */
export async function check(loaded: LoadedConfig, options: CheckOptions): Promise<number> {
  const { config } = loaded;
  const findings: Finding[] = [];
  const report = (finding: Finding) => {
    findings.push(finding);
    options.onFinding(finding);
  };
  const from = loaded.file === undefined ? 'environment, flags and presets' : loaded.file;
  report({ level: 'ok', subject: 'configuration', message: `valid, from ${from}` });
  for (const message of loaded.warnings) report({ level: 'warning', subject: 'configuration', message });
  const identity = createIdentity({ loaded, clock: systemClock });
  try {
    const tokens = await checkTokens(config, identity.credentials, report);
    if (options.upstream) await checkUpstreams(loaded, tokens, report);
  } finally {
    await identity.end('destroy');
  }
  const codes = findings.flatMap(({ level, code }) => (level === 'error' && code ? [ERRORS[code].exit] : []));
  return codes.length === 0 ? 0 : Math.min(...codes);
}

type Tokens = ReadonlyMap<string, Secret>;

/** Two routes with the same wishes share a token, so each is asked for once. */
async function checkTokens(
  config: Config,
  credentials: readonly Credential[],
  report: (finding: Finding) => void,
): Promise<Tokens> {
  const keys = new Map(config.routes.map((route) => [idOf(tokenKey(route, config)), tokenKey(route, config)]));
  const tokens = new Map<string, Secret>();
  for (const [id, key] of keys) {
    const answer = await credentials.find(({ name }) => name === key.credential)?.fetchToken(key);
    if (answer === undefined) continue;
    if (answer.kind === 'token') tokens.set(id, answer.authorization);
    report(tokenFinding(key, answer));
  }
  return tokens;
}

function idOf(key: TokenKey): string {
  return JSON.stringify(key);
}

function tokenFinding(key: TokenKey, answer: TokenAnswer): Finding {
  const subject = `token ${key.credential}${key.scope === undefined ? '' : ` (${key.scope})`}`;
  if (answer.kind === 'token') return { level: 'ok', subject, message: `obtained, valid for ${answer.lifetimeS} s` };
  const rejected = answer.kind === 'rejected';
  const words = (rejected ? REJECTED : UNAVAILABLE)[answer.result];
  return {
    level: 'error',
    subject,
    code: rejected ? 'CREDENTIALS_REJECTED' : 'TOKEN_UNAVAILABLE',
    message: `${words?.message ?? otherwise(answer.kind)} (${answer.result})`,
    fix: words?.fix ?? FIX[answer.kind],
  };
}

const FIX = {
  rejected: 'compare clientId, auth, scope, audience and resource with what Aritma gave you',
  nonsense: 'compare tokenEndpoint, path included, with what Aritma gave you: something else answers there',
  unavailable: 'try again later; if it stays so, check the way to tokenEndpoint, or ask Aritma about its state',
} as const;

function otherwise(kind: TokenAnswer['kind']): string {
  if (kind === 'rejected') return 'the identity server refuses the request';
  return kind === 'nonsense' ? 'the answer is not a token response' : 'the token endpoint is not available';
}

async function checkUpstreams(loaded: LoadedConfig, tokens: Tokens, report: (finding: Finding) => void): Promise<void> {
  const { config } = loaded;
  for (const route of config.routes) {
    const authorization = tokens.get(idOf(tokenKey(route, config)));
    if (authorization === undefined) continue;
    const egress = createEgress(route.upstream, { loaded, connections: 1, owner: `route ${route.path}` });
    const subject = `upstream ${route.path} → ${route.upstream.origin}${route.upstream.basePath}`;
    report({ subject, ...(await probe(egress.dispatcher, route.upstream.basePath || '/', authorization)) });
    await egress.destroy();
  }
}

/** Any answer but 401 shows that the API is there and takes the token; what it thinks of its root path is its own affair. */
async function probe(upstream: Dispatcher, path: string, authorization: Secret): Promise<Omit<Finding, 'subject'>> {
  try {
    const headers = { authorization: authorization.reveal(), accept: 'application/json' };
    const answer = await upstream.request({ method: 'GET', path, headers });
    await answer.body.dump();
    if (answer.statusCode !== 401) return { level: 'ok', message: `reached (HTTP ${answer.statusCode})` };
    const { title, detail } = ERRORS.UPSTREAM_REFUSED_TOKEN;
    return { level: 'error', code: 'UPSTREAM_REFUSED_TOKEN', message: `${title} (HTTP 401)`, fix: detail };
  } catch (error) {
    const reason = String((error as { code?: unknown }).code ?? 'network');
    const fix = 'check the URL, DNS, firewall, and NODE_EXTRA_CA_CERTS if a company CA is in between';
    return { level: 'error', code: 'UPSTREAM_UNREACHABLE', message: `cannot be reached (${reason})`, fix };
  }
}
