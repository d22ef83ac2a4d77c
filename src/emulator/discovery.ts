// The discovery document and the key set of the identity server. Uses the field order of IdentityServer, so that a
// reader is tested against the same document as the real one.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { PublishedKey } from './signing-key.ts';
import { API_RESOURCES } from './tokens.ts';

export interface DiscoveryDeps {
  publishedKey: PublishedKey;
  originOf(request: FastifyRequest): string;
}

const DISCOVERY_PATH = '/.well-known/openid-configuration';

/**
 * Registers the discovery document and the key set. GET only: the real endpoints respond with 405 to anything else,
 * including HEAD. Source: OpenID Connect Discovery 1.0 §4, IdentityServer DiscoveryEndpoint.
 */
export function registerDiscovery(app: FastifyInstance, deps: DiscoveryDeps): void {
  app.all(DISCOVERY_PATH, async (request, reply) => {
    return respondToGet(request, reply, () => describeServer(deps.originOf(request)));
  });
  app.all(`${DISCOVERY_PATH}/jwks`, async (request, reply) => {
    return respondToGet(request, reply, () => ({ keys: [deps.publishedKey] }));
  });
}

function respondToGet(request: FastifyRequest, reply: FastifyReply, body: () => object): FastifyReply {
  if (request.method !== 'GET') return reply.code(405).send();
  return reply.header('content-type', 'application/json; charset=UTF-8').send(JSON.stringify(body()));
}

/** Announces the interactive endpoints like the real server, although only the token endpoint exists here. */
function describeServer(origin: string): object {
  return {
    issuer: origin,
    jwks_uri: `${origin}${DISCOVERY_PATH}/jwks`,
    authorization_endpoint: `${origin}/connect/authorize`,
    token_endpoint: `${origin}/connect/token`,
    userinfo_endpoint: `${origin}/connect/userinfo`,
    end_session_endpoint: `${origin}/connect/endsession`,
    check_session_iframe: `${origin}/connect/checksession`,
    revocation_endpoint: `${origin}/connect/revocation`,
    introspection_endpoint: `${origin}/connect/introspect`,
    device_authorization_endpoint: `${origin}/connect/deviceauthorization`,
    backchannel_authentication_endpoint: `${origin}/connect/ciba`,
    pushed_authorization_request_endpoint: `${origin}/connect/par`,
    require_pushed_authorization_requests: false,
    frontchannel_logout_supported: true,
    frontchannel_logout_session_supported: true,
    backchannel_logout_supported: true,
    backchannel_logout_session_supported: true,
    scopes_supported: [...API_RESOURCES.keys(), 'offline_access'],
    claims_supported: [],
    grant_types_supported: ['client_credentials'],
    response_types_supported: ['code'],
    response_modes_supported: ['form_post', 'query', 'fragment'],
    token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    id_token_signing_alg_values_supported: ['RS256'],
    subject_types_supported: ['public'],
    code_challenge_methods_supported: ['plain', 'S256'],
    request_parameter_supported: true,
    authorization_response_iss_parameter_supported: true,
  };
}
