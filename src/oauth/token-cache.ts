/**
 * Token sources by what their tokens are for. Routes that want the same token share one source; sources with any
 * difference in credential, scope, audience or resource share nothing.
 */
import type { Token, TokenEvents, TokenKey, TokenSnapshot } from './token.ts';
import type { TokenResponse } from './token-response.ts';
import { type SourceOptions, TokenSource } from './token-source.ts';

export interface TokenCache {
  /** The source for a key; the first call for a key starts fetching. */
  open(key: TokenKey): TokenSource;
  /** All sources, or those of one credential. */
  sources(credential?: string): TokenSource[];
  snapshots(): TokenSnapshot[];
  close(how?: 'close' | 'destroy'): void;
}

export interface TokenCacheOptions extends Omit<SourceOptions, 'fetchToken' | 'events' | 'seed'> {
  readonly fetchToken: (key: TokenKey) => Promise<TokenResponse>;
  readonly eventsFor: (key: TokenKey) => TokenEvents;
  /** A token that may serve until the first one has been fetched. */
  readonly seedFor?: ((key: TokenKey) => Token | undefined) | undefined;
}

export function createTokenCache(options: TokenCacheOptions): TokenCache {
  const { fetchToken, eventsFor, seedFor, ...rest } = options;
  /** Keys come from the configuration. */
  const sources = new Map<string, TokenSource>();
  const list = (credential?: string) =>
    [...sources.values()].filter((source) => credential === undefined || source.key.credential === credential);
  return {
    open(key) {
      // JSON keeps the parts apart whatever characters they hold.
      const id = JSON.stringify([key.credential, key.scope ?? null, key.audience ?? null, key.resource ?? null]);
      let source = sources.get(id);
      if (!source) {
        const own = { events: eventsFor(key), fetchToken: () => fetchToken(key), seed: seedFor?.(key) };
        source = new TokenSource(key, { ...rest, ...own });
        sources.set(id, source);
      }
      return source;
    },
    sources: list,
    snapshots: () => list().map((source) => source.snapshot()),
    close(how) {
      for (const source of sources.values()) source.close(how);
      sources.clear();
    },
  };
}
