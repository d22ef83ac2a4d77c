// The token endpoint: returns a token or an error code for each request. Hides the order of IdentityServer's checks,
// which is a table here, and sends exactly its headers: every refusal is a 400 with only the code.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { decodeFormPart, findPresentedClient, type PresentedClient } from './client-secret.ts';
import type { KnownClient } from './clients.ts';
import type { Store } from './store.ts';
import { API_RESOURCES, type Tokens } from './tokens.ts';

/** Error codes of the client credentials grant (RFC 6749 §5.2, RFC 8707 §2). */
export type TokenError =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_target'
  | 'invalid_scope'
  | 'unauthorized_client'
  | 'unsupported_grant_type';

export interface IdentityDeps {
  store: Store;
  tokens: Tokens;
  tokenLifetimeS: number;
  /** Returns the origin a request was made to: the issuer of its token. */
  originOf(request: FastifyRequest): string;
}

/** One request during the checks; a check may set what later ones read. */
interface Attempt {
  readonly request: FastifyRequest;
  readonly store: Store;
  form: ReadonlyMap<string, string>;
  presented?: PresentedClient | undefined;
  client?: KnownClient | undefined;
  scopes: readonly string[];
}

type Check = (attempt: Attempt) => boolean;

const MAX_GRANT_TYPE = 100;
const MAX_SCOPE = 300;
const FORM = 'application/x-www-form-urlencoded';
const FORM_LIMIT_BYTES = 64 * 1024;

/**
 * Every reason to refuse a request, in IdentityServer's order (TokenEndpoint, SecretParser, TokenRequestValidator). It
 * authenticates the client before it checks the grant.
 */
const CHECKS: readonly (readonly [refusesWhen: string, Check, TokenError])[] = [
  ['not a POST of a form', isNoFormPost, 'invalid_request'],
  ['form cannot be decoded', isFormBroken, 'invalid_request'],
  ['no client id, or id or secret too long', isClientNotNamed, 'invalid_request'],
  ['client unknown or disabled', isClientUnknown, 'invalid_client'],
  ['secret missing, wrong or expired', isSecretRefused, 'invalid_client'],
  ['grant type missing or too long', isGrantMissing, 'unsupported_grant_type'],
  ['resource is not ours', isResourceUnknown, 'invalid_target'],
  ['grant type unknown to the server', isGrantUnknown, 'unsupported_grant_type'],
  ['grant type not allowed for the client', isGrantForbidden, 'unauthorized_client'],
  ['scope too long, unknown or not allowed', isScopeRefused, 'invalid_scope'],
  ['nothing asked and nothing to give', isScopeEmpty, 'invalid_scope'],
];

/** Registers `POST /connect/token`. Other methods reach the same checks: the real endpoint sends 400 there too. */
export function registerTokenEndpoint(app: FastifyInstance, deps: IdentityDeps): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'string', bodyLimit: FORM_LIMIT_BYTES }, (_request, body, done) => {
    done(null, body);
  });
  // What Fastify refuses before the handler (too large, a malformed media type) is an invalid request too.
  app.setErrorHandler((_error, _request, reply) => refuse(reply, 'invalid_request'));
  app.all('/connect/token', async (request, reply) => {
    const attempt: Attempt = { request, store: deps.store, form: new Map(), scopes: [] };
    const refusal = CHECKS.find(([, refuses]) => refuses(attempt));
    if (refusal) return refuse(reply, refusal[2]);
    return grant(reply, attempt, deps);
  });
}

async function grant(reply: FastifyReply, attempt: Attempt, deps: IdentityDeps): Promise<FastifyReply> {
  const lifetimeS = attempt.client?.tokenLifetimeS ?? deps.tokenLifetimeS;
  const accessToken = await deps.tokens.issue({
    issuer: deps.originOf(attempt.request),
    clientId: attempt.client?.clientId ?? '',
    scopes: attempt.scopes,
    lifetimeS,
  });
  deps.store.counters.tokensIssued += 1;
  return response(reply, 200, {
    access_token: accessToken,
    expires_in: lifetimeS,
    token_type: 'Bearer',
    scope: attempt.scopes.join(' '),
  });
}

function refuse(reply: FastifyReply, error: TokenError): FastifyReply {
  return response(reply, 400, { error });
}

function response(reply: FastifyReply, status: number, body: Record<string, unknown>): FastifyReply {
  return reply
    .code(status)
    .header('content-type', 'application/json; charset=UTF-8')
    .header('cache-control', 'no-store, no-cache, max-age=0')
    .header('pragma', 'no-cache')
    .send(JSON.stringify(body));
}

function isNoFormPost({ request }: Attempt): boolean {
  const mediaType = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase();
  return request.method !== 'POST' || mediaType !== FORM;
}

function isFormBroken(attempt: Attempt): boolean {
  const form = new Map<string, string>();
  const body = typeof attempt.request.body === 'string' ? attempt.request.body : '';
  for (const pair of body.split('&').filter((part) => part !== '')) {
    const equals = pair.indexOf('=');
    const name = decodeFormPart(equals < 0 ? pair : pair.slice(0, equals));
    const value = decodeFormPart(equals < 0 ? '' : pair.slice(equals + 1));
    // RFC 6749 §3.2: parameters must not be repeated.
    if (name === undefined || value === undefined || form.has(name)) return true;
    form.set(name, value);
  }
  attempt.form = form;
  return false;
}

function isClientNotNamed(attempt: Attempt): boolean {
  attempt.presented = findPresentedClient(attempt.request.headers.authorization, attempt.form);
  return attempt.presented === undefined;
}

function isClientUnknown(attempt: Attempt): boolean {
  attempt.client = attempt.store.clients.load(attempt.presented?.clientId ?? '');
  return attempt.client === undefined || attempt.client.enabled === false;
}

function isSecretRefused({ presented, store }: Attempt): boolean {
  return presented?.secret === undefined || !store.clients.acceptsSecret(presented.clientId, presented.secret);
}

function isGrantMissing({ form }: Attempt): boolean {
  const grantType = form.get('grant_type') ?? '';
  return grantType === '' || grantType.length > MAX_GRANT_TYPE;
}

/** Resource indicators are absolute URIs (RFC 8707 §2) and none of our resources is named by one. */
function isResourceUnknown({ form }: Attempt): boolean {
  return (form.get('resource') ?? '') !== '';
}

function isGrantUnknown({ form }: Attempt): boolean {
  return form.get('grant_type') !== 'client_credentials';
}

function isGrantForbidden({ client }: Attempt): boolean {
  return client?.allowedGrantTypes.includes('client_credentials') !== true;
}

function isScopeRefused(attempt: Attempt): boolean {
  const asked = attempt.form.get('scope') ?? '';
  const allowed = (attempt.client?.allowedScopes ?? []).filter((scope) => API_RESOURCES.has(scope));
  const wanted = asked.split(' ').filter((scope) => scope !== '');
  attempt.scopes = [...new Set(wanted.length > 0 ? wanted : allowed)].sort();
  return asked.length > MAX_SCOPE || attempt.scopes.some((scope) => !allowed.includes(scope));
}

function isScopeEmpty({ scopes }: Attempt): boolean {
  return scopes.length === 0;
}
