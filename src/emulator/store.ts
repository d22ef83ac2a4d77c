// What the emulator remembers while it runs: clients with their hashed secrets, and the counters tests ask for.
// A secret value is never kept, only its SHA-256, as the real server does.
import { createHash, randomUUID, timingSafeEqual } from 'node:crypto';

export interface EmulatorSecret {
  clientSecretId: string;
  value: string;
  description: string;
  /** ISO 8601; omitted = never expires. */
  expiration?: string;
}

export interface EmulatorClient {
  clientId: string;
  name: string;
  description: string;
  allowedGrantTypes: readonly string[];
  allowedScopes: readonly string[];
  redirectUris: readonly string[];
  secrets: readonly EmulatorSecret[];
  /** Default true. */
  enabled?: boolean;
  /** Seconds; default is the emulator's `tokenLifetimeS`. */
  tokenLifetimeS?: number;
}

/** The client of the demo. Its secret is public by design and opens nothing but this emulator. */
export const DEMO_CLIENT: EmulatorClient = {
  clientId: 'demo-erp',
  name: 'Demo ERP',
  description: 'A legacy program that calls the Banking and Events APIs',
  allowedGrantTypes: ['client_credentials'],
  allowedScopes: ['api', 'services.banking'],
  redirectUris: [],
  secrets: [
    { clientSecretId: 'demo-secret', value: 'demo-secret-not-for-production', description: 'Secret of the demo' },
  ],
};

/** Requests are counted when they arrive, also those that a scripted fault or a refused token ends. */
export interface Counters {
  tokenRequests: number;
  tokensIssued: number;
  requests: { banking: number; events: number; echo: number };
  unauthorized: number;
  expiredTokensSeen: number;
  payments: { created: number; replayed: number };
  /** In the order of creation; grows until the counters are reset. */
  paymentIds: string[];
}

export type KnownClient = Omit<EmulatorClient, 'secrets'>;
export type NewSecret = Omit<EmulatorSecret, 'clientSecretId'>;

export interface Store {
  readonly counters: Counters;
  resetCounters(): void;
  findClient(clientId: string): KnownClient | undefined;
  /** True if any unexpired secret of the client has this value; false for an unknown client. */
  acceptsSecret(clientId: string, value: string): boolean;
  /** The id of the new secret, or undefined for an unknown client. */
  addSecret(clientId: string, secret: NewSecret): string | undefined;
  /** False if there was no such client or secret. */
  removeSecret(clientId: string, clientSecretId: string): boolean;
}

interface StoredSecret {
  clientSecretId: string;
  description: string;
  digest: Buffer;
  /** Epoch ms. */
  expiresAt: number;
}

const digestOf = (value: string): Buffer => createHash('sha256').update(value, 'utf8').digest();

const createCounters = (): Counters => ({
  tokenRequests: 0,
  tokensIssued: 0,
  requests: { banking: 0, events: 0, echo: 0 },
  unauthorized: 0,
  expiredTokensSeen: 0,
  payments: { created: 0, replayed: 0 },
  paymentIds: [],
});

/** Creates the memory of one emulator run. `now` is epoch milliseconds and decides which secrets have expired. */
export function createStore(initialClients: readonly EmulatorClient[], now: () => number): Store {
  const clients = new Map<string, KnownClient>();
  const secrets = new Map<string, StoredSecret[]>();
  const counters = createCounters();
  for (const { secrets: initialSecrets, ...client } of initialClients) {
    clients.set(client.clientId, client);
    secrets.set(client.clientId, initialSecrets.map(storeSecret));
  }

  return {
    counters,
    resetCounters: () => void Object.assign(counters, createCounters()),
    findClient: (clientId) => clients.get(clientId),
    acceptsSecret(clientId, value) {
      const presented = digestOf(value);
      let accepted = false;
      // No early exit: how long this takes must not tell which secret matched (IdentityServer TimeConstantComparer).
      for (const secret of secrets.get(clientId) ?? []) {
        const matches = timingSafeEqual(secret.digest, presented);
        if (matches && !(now() > secret.expiresAt)) accepted = true;
      }
      return accepted;
    },
    addSecret(clientId, secret) {
      const known = secrets.get(clientId);
      if (!known) return undefined;
      const stored = storeSecret({ clientSecretId: randomUUID(), ...secret });
      known.push(stored);
      return stored.clientSecretId;
    },
    removeSecret(clientId, clientSecretId) {
      const known = secrets.get(clientId) ?? [];
      const index = known.findIndex((secret) => secret.clientSecretId === clientSecretId);
      if (index >= 0) known.splice(index, 1);
      return index >= 0;
    },
  };
}

function storeSecret({ value, expiration, clientSecretId, description }: EmulatorSecret): StoredSecret {
  const expiresAt = expiration === undefined ? Number.POSITIVE_INFINITY : Date.parse(expiration);
  // NaN would compare as "never expires", the opposite of what somebody who wrote a date wanted.
  if (Number.isNaN(expiresAt)) throw new TypeError(`expiration of secret ${clientSecretId} is not an ISO 8601 date`);
  return { clientSecretId, description, digest: digestOf(value), expiresAt };
}
