/**
 * Token sources by key (credential, scope, audience, resource). Routes with the same key share one source; sources with
 * different keys share nothing.
 */
import type { ObtainedToken, SourceOptions, Token, TokenEvents, TokenKey, TokenSnapshot } from './token.ts';
import type { TokenResponse } from './token-response.ts';
import { TokenSource } from './token-source.ts';

export interface TokenCache {
  /** Returns the source for a key; the first call for a key starts the first fetch. */
  open(key: TokenKey): TokenSource;
  /** Returns all sources, or those of one credential. */
  sources(credential?: string): TokenSource[];
  snapshots(): TokenSnapshot[];
  /** Closes and forgets all sources; see `TokenSource.close`. */
  close(how?: 'close' | 'destroy'): void;
}

export interface TokenCacheOptions
  extends Omit<SourceOptions, 'fetchToken' | 'onRefused' | 'prepare' | 'events' | 'seed'> {
  readonly fetchToken: (key: TokenKey, ...more: Parameters<SourceOptions['fetchToken']>) => Promise<TokenResponse>;
  /** Calls `take` with each newer token that another sidecar has fetched. Returns the function that ends this. */
  readonly subscribe?: (key: TokenKey, take: (newer: ObtainedToken) => void) => () => void;
  /** Called when a token is of no use to an upstream or an operator. */
  readonly onRefused?: (key: TokenKey, token: Token) => void;
  /** Called shortly before a fetch in the background. */
  readonly prepare?: (key: TokenKey) => void;
  readonly eventsFor: (key: TokenKey) => TokenEvents;
  /** A token to use until the first one is fetched, for example from before a reload. */
  readonly seedFor?: ((key: TokenKey) => Token | undefined) | undefined;
}

/**
 * Creates an empty cache.
 * @example
 * const token = await createTokenCache(options).open({ credential: 'default', ...target }).get();
 */
export function createTokenCache(options: TokenCacheOptions): TokenCache {
  const { fetchToken, subscribe, onRefused, prepare, eventsFor, seedFor, ...rest } = options;
  /** Bounded: all keys come from the configuration. */
  const sources = new Map<string, TokenSource>();
  const ends: ((() => void) | undefined)[] = [];
  const list = (credential?: string) =>
    [...sources.values()].filter((source) => credential === undefined || source.key.credential === credential);
  return {
    open(key) {
      // JSON separates the parts, whatever characters they contain.
      const id = JSON.stringify([key.credential, key.scope ?? null, key.audience ?? null, key.resource ?? null]);
      let source = sources.get(id);
      if (!source) {
        source = new TokenSource(key, {
          ...rest,
          events: eventsFor(key),
          fetchToken: (...ask) => fetchToken(key, ...ask),
          onRefused: (token) => onRefused?.(key, token),
          prepare: () => prepare?.(key),
          seed: seedFor?.(key),
        });
        sources.set(id, source);
        const created = source;
        ends.push(subscribe?.(key, (newer) => created.take(newer)));
      }
      return source;
    },
    sources: list,
    snapshots: () => list().map((source) => source.snapshot()),
    close(how) {
      for (const source of sources.values()) source.close(how);
      for (const end of ends.splice(0)) end?.();
      sources.clear();
    },
  };
}
