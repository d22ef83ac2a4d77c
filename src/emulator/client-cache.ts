// The optional cache between the token endpoint and its clients, as IdentityServer's AddClientStoreCache: a client is
// seen as it was when last loaded. Off at 0 seconds. Only the token endpoint looks through it.

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
