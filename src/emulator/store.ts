// The emulator's memory while it runs: clients with their hashed secrets, policies, settings, and counters for tests.
// Like the real server, it keeps only the SHA-256 of a secret, never the value.
import { type ClientRecord, type Clients, createClientCache, createClients, type KnownClient } from './clients.ts';
import { createSettings, type IamSettings, type SettingsChange } from './iam-settings.ts';
import { createPolicies, type Policies, type Policy } from './policies.ts';
import { type NewSecret, storeSecret } from './secrets.ts';
import { subjectOf } from './subjects.ts';

export interface EmulatorSecret extends NewSecret {
  clientSecretId: string;
}

export interface EmulatorClient extends KnownClient {
  secrets: readonly EmulatorSecret[];
  /** Default: everything in Banking. A client created through the IAM API starts without policies. */
  policies?: readonly Omit<Policy, 'subject'>[];
}

/** The client of the demo. Its secret is public by design and works only for this emulator. */
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

/** The administrator: may create clients, but not call Banking. Its secret is also public by design. */
export const ADMIN_CLIENT: EmulatorClient = {
  clientId: 'demo-admin',
  name: 'Demo administrator',
  description: 'Whoever manages clients through the IAM API',
  allowedGrantTypes: ['client_credentials'],
  allowedScopes: ['services.iam'],
  redirectUris: [],
  secrets: [
    { clientSecretId: 'demo-admin-secret', value: 'demo-admin-not-for-production', description: 'Secret of the demo' },
  ],
  policies: [],
};

/** The part of the memory that a state file keeps. */
export interface Contents {
  readonly clients: readonly ClientRecord[];
  readonly policies: readonly Policy[];
}

export interface Store {
  readonly counters: Counters;
  readonly clients: Clients;
  readonly policies: Policies;
  readonly settings: Readonly<IamSettings>;
  resetCounters(): void;
  changeSettings(change: SettingsChange): void;
  /** Removes a client with its secrets and policies. False for an unknown client. */
  removeClient(clientId: string): boolean;
  contents(): Contents;
}

export interface StoreOptions {
  /** Epoch ms; decides which secrets have expired. */
  now: () => number;
  settings?: SettingsChange | undefined;
  /** Called after each change of what `contents()` returns. */
  onChange?: () => void;
}

const FULL_BANKING = [{ scope: '/', action: 'banking.manage' }];

/** Creates the memory of one run, from clients or from the saved state of an earlier run. */
export function createStore(start: readonly EmulatorClient[] | Contents, options: StoreOptions): Store {
  const { now, onChange = () => undefined } = options;
  const initial = 'policies' in start ? start : contentsOf(start, now());
  const settings = createSettings(options.settings);
  const cache = createClientCache<ClientRecord>(() => settings.clientCacheS, now);
  const counters = createCounters();
  const clients = createClients(initial.clients, { now, cache, onChange });
  const policies = createPolicies(initial.policies, onChange);
  return {
    counters,
    clients,
    policies,
    settings,
    resetCounters: () => void Object.assign(counters, createCounters()),
    changeSettings(change) {
      if (change.clientCacheS !== undefined) cache.clear();
      Object.assign(settings, change);
    },
    removeClient(clientId) {
      policies.removeSubject(subjectOf(clientId));
      return clients.remove(clientId);
    },
    contents: () => ({ clients: clients.records(), policies: policies.all() }),
  };
}

function contentsOf(clients: readonly EmulatorClient[], now: number): Contents {
  return {
    clients: clients.map(({ secrets, policies: _own, ...client }) => ({
      client,
      secrets: secrets.map(({ clientSecretId, ...secret }) => storeSecret(secret, now, clientSecretId)),
    })),
    policies: clients.flatMap(({ clientId, policies = FULL_BANKING }) =>
      policies.map(({ scope, action }) => ({ subject: subjectOf(clientId), scope, action })),
    ),
  };
}

/** Counts requests when they arrive, also those that end with a scripted fault or a refused token. */
export interface Counters {
  tokenRequests: number;
  tokensIssued: number;
  requests: { banking: number; events: number; echo: number; iam: number };
  unauthorized: number;
  expiredTokensSeen: number;
  payments: { created: number; replayed: number };
  /** In order of creation; grows until the counters are reset. */
  paymentIds: string[];
}

/** Creates counters at zero. */
function createCounters(): Counters {
  return {
    tokenRequests: 0,
    tokensIssued: 0,
    requests: { banking: 0, events: 0, echo: 0, iam: 0 },
    unauthorized: 0,
    expiredTokensSeen: 0,
    payments: { created: 0, replayed: 0 },
    paymentIds: [],
  };
}
