// The clients of the identity server with their secrets. Every change makes new records, so a snapshot of a client
// stays what it was; ids are chosen here and never given out twice.
import { randomUUID } from 'node:crypto';
import { acceptsValue, type NewSecret, type StoredSecret, storeSecret } from './secrets.ts';

/** What whoever creates a client decides about it; all of it can be replaced later. */
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
  /** In the order of creation. */
  list(): readonly KnownClient[];
  records(): readonly ClientRecord[];
  create(fields: ClientFields): KnownClient;
  /** Undefined for an unknown client. */
  replace(clientId: string, fields: ClientFields): KnownClient | undefined;
  /** With all its secrets. False for an unknown client. */
  remove(clientId: string): boolean;
  /** Without values. Undefined for an unknown client. */
  secretsOf(clientId: string): readonly StoredSecret[] | undefined;
  /** Undefined for an unknown client. */
  addSecret(clientId: string, secret: NewSecret): StoredSecret | undefined;
  /** False if there was no such client or secret. */
  removeSecret(clientId: string, clientSecretId: string): boolean;
  /** The client as the token endpoint sees it, which may be through the cache. */
  load(clientId: string): KnownClient | undefined;
  /** True if any unexpired secret of the client, as the token endpoint sees it, has this value. */
  acceptsSecret(clientId: string, value: string): boolean;
}

export interface ClientsDeps {
  now: () => number;
  cache: ClientCache<ClientRecord>;
  onChange: () => void;
}

/** Creates the registry with what it knows at the start. */
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
      // Kept until something changes: a caller that pages through thousands must not pay for all of them on each page.
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

/** The record itself, if it has no such secret. */
function withoutSecret(record: ClientRecord, clientSecretId: string): ClientRecord {
  const secrets = record.secrets.filter((secret) => secret.clientSecretId !== clientSecretId);
  return secrets.length === record.secrets.length ? record : { client: record.client, secrets };
}

export interface ClientCache<T> {
  /**
   * The client as the token endpoint sees it, given how it is now. Also to be called right before a change: the cache
   * then holds the state before it, so a change shows as late as it ever can.
   */
  read(clientId: string, current: T | undefined): T | undefined;
  clear(): void;
}

/** Creates an empty cache. `lifetimeS` is asked each time; `now` is epoch ms. */
export function createClientCache<T>(lifetimeS: () => number, now: () => number): ClientCache<T> {
  const snapshots = new Map<string, { client: T; until: number }>();
  return {
    read(clientId, current) {
      if (lifetimeS() === 0) return current;
      const snapshot = snapshots.get(clientId);
      if (snapshot && now() < snapshot.until) return snapshot.client;
      // Absence is never kept: a client can be used from the moment it exists, as in CachingClientStore.
      if (current === undefined) snapshots.delete(clientId);
      else snapshots.set(clientId, { client: current, until: now() + lifetimeS() * 1000 });
      return current;
    },
    clear: () => snapshots.clear(),
  };
}
