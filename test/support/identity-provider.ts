/** The certified OpenID provider `oidc-provider` on a free port: JWT access tokens for one API, for any given client. */
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import Provider, { type ResourceServer } from 'oidc-provider';

/** Resource to request JWT access tokens for, and their `aud`. */
export const RESOURCE = 'https://api.example/banking';

export interface IdentityProvider {
  readonly issuer: string;
  readonly tokenEndpoint: string;
  close(): Promise<void>;
}

/** @param client metadata of the registered client (OpenID Connect Registration §2) */
export async function startIdentityProvider(client: Readonly<Record<string, unknown>>): Promise<IdentityProvider> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const provider = new Provider(issuer, configuration(client));
  server.on('request', provider.callback());
  return {
    issuer,
    tokenEndpoint: `${issuer}/token`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function configuration(client: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const resourceServer: ResourceServer = {
    scope: 'api',
    audience: RESOURCE,
    accessTokenFormat: 'jwt',
    accessTokenTTL: 3600,
    jwt: { sign: { alg: 'RS256' } },
  };
  return {
    clients: [
      {
        grant_types: ['client_credentials'],
        response_types: [],
        redirect_uris: [],
        scope: 'api',
        ...client,
      },
    ],
    scopes: ['api'],
    adapter: createAdapter(),
    ttl: { ClientCredentials: 3600 },
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'server-key', use: 'sig', alg: 'RS256' }] },
    cookies: { keys: ['not-used-by-machines'] },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: { enabled: true, getResourceServerInfo: async () => resourceServer },
    },
  };
}

/** Storage of what the provider has issued: in memory, separate by kind and provider. */
function createAdapter(): new (kind: string) => object {
  const kept = new Map<string, unknown>();
  return class {
    readonly #kind: string;
    constructor(kind: string) {
      this.#kind = kind;
    }
    async upsert(id: string, payload: unknown): Promise<void> {
      kept.set(`${this.#kind} ${id}`, payload);
    }
    async find(id: string): Promise<unknown> {
      return kept.get(`${this.#kind} ${id}`);
    }
  };
}
