// The clients of the identity server with their secrets. Every change creates new records, so a snapshot of a client
// never changes. Ids are created here and never reused.
import { randomUUID } from 'node:crypto';
import { acceptsValue, type NewSecret, type StoredSecret, storeSecret } from './secrets.ts';

/** The fields that the creator of a client sets; all can be replaced later. */
export interface ClientFields {
  name: string;
  description: string;
  allowedGrantTypes: readonly string[];
  allowedScopes: readonly string[];
  redirectUris: readonly string[];
}

export interface KnownClient extends ClientFields {
  clientId: string;
  /** Default true. */
  enabled?: boolean | undefined;
  /** Seconds; default is the emulator's `tokenLifetimeS`. */
  tokenLifetimeS?: number | undefined;
}

export interface ClientRecord {
  readonly client: KnownClient;
  readonly secrets: readonly StoredSecret[];
}

export interface Clients {
  find(clientId: string): KnownClient | undefined;
  /** In order of creation. */
  list(): readonly KnownClient[];
  records(): readonly ClientRecord[];
  create(fields: ClientFields): KnownClient;
  /** Undefined for an unknown client. */
  replace(clientId: string, fields: ClientFields): KnownClient | undefined;
  /** Removes a client with its secrets. False for an unknown client. */
  remove(clientId: string): boolean;
  /** Without values. Undefined for an unknown client. */
  secretsOf(clientId: string): readonly StoredSecret[] | undefined;
  /** Undefined for an unknown client. */
  addSecret(clientId: string, secret: NewSecret): StoredSecret | undefined;
  /** False if the client or secret does not exist. */
  removeSecret(clientId: string, clientSecretId: string): boolean;
  /** Returns the client as the token endpoint sees it, perhaps from the cache. */
  load(clientId: string): KnownClient | undefined;
  /** Returns whether any unexpired secret of the client, as the token endpoint sees it, has this value. */
  acceptsSecret(clientId: string, value: string): boolean;
}

export interface ClientsDeps {
  now: () => number;
  cache: ClientCache<ClientRecord>;
  onChange: () => void;
}

/** Creates the registry with its initial records. */
export function createClients(initial: readonly ClientRecord[], { now, cache, onChange }: ClientsDeps): Clients {
  const records = new Map(initial.map((record) => [record.client.clientId, record]));
  let listed: readonly KnownClient[] | undefined;
  const load = (clientId: string) => cache.read(clientId, records.get(clientId));

  function change(clientId: string, edit: (record: ClientRecord) => ClientRecord | undefined): boolean {
    const before = records.get(clientId);
    if (!before) return false;
    const after = edit(before);
    if (after === before) return false;
    cache.read(clientId, before);
    if (after) records.set(clientId, after);
    else records.delete(clientId);
    listed = undefined;
    onChange();
    return true;
  }

  return {
    find: (clientId) => records.get(clientId)?.client,
    list() {
      // Cached until something changes: paging through thousands must not build the whole list for each page.
      listed ??= [...records.values()].map(({ client }) => client);
      return listed;
    },
    records: () => [...records.values()],
    create(fields) {
      const client = { clientId: randomUUID(), ...fields };
      records.set(client.clientId, { client, secrets: [] });
      listed = undefined;
      onChange();
      return client;
    },
    replace(clientId, fields) {
      change(clientId, ({ client, secrets }) => ({ client: { ...client, ...fields }, secrets }));
      return records.get(clientId)?.client;
    },
    remove: (clientId) => change(clientId, () => undefined),
    secretsOf: (clientId) => records.get(clientId)?.secrets,
    addSecret(clientId, secret) {
      const stored = storeSecret(secret, now());
      const added = change(clientId, ({ client, secrets }) => ({ client, secrets: [...secrets, stored] }));
      return added ? stored : undefined;
    },
    removeSecret: (clientId, clientSecretId) => change(clientId, (record) => withoutSecret(record, clientSecretId)),
    load: (clientId) => load(clientId)?.client,
    acceptsSecret: (clientId, value) => acceptsValue(load(clientId)?.secrets ?? [], value, now()),
  };
}

/** Returns the same record if it does not have the secret. */
function withoutSecret(record: ClientRecord, clientSecretId: string): ClientRecord {
  const secrets = record.secrets.filter((secret) => secret.clientSecretId !== clientSecretId);
  return secrets.length === record.secrets.length ? record : { client: record.client, secrets };
}

export interface ClientCache<T> {
  /**
   * Returns the client as the token endpoint sees it; `current` is how it is now. Call it also right before a change:
   * the cache then holds the old state, so that the change shows as late as possible.
   */
  read(clientId: string, current: T | undefined): T | undefined;
  clear(): void;
}

/** Creates an empty cache. `lifetimeS` is read on each use; `now` is epoch ms. */
export function createClientCache<T>(lifetimeS: () => number, now: () => number): ClientCache<T> {
  const snapshots = new Map<string, { client: T; until: number }>();
  return {
    read(clientId, current) {
      if (lifetimeS() === 0) return current;
      const snapshot = snapshots.get(clientId);
      if (snapshot && now() < snapshot.until) return snapshot.client;
      // Never cache absence: a new client works at once, as in CachingClientStore.
      if (current === undefined) snapshots.delete(clientId);
      else snapshots.set(clientId, { client: current, until: now() + lifetimeS() * 1000 });
      return current;
    },
    clear: () => snapshots.clear(),
  };
}
