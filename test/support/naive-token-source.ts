/** The control for token sources: as written in an afternoon, correct except for one flaw that a test chooses. */
import { type Clock, elapsedSince } from '../../src/core/clock.ts';
import type { Token, TokenKey } from '../../src/oauth/token.ts';
import type { TokenResponse } from '../../src/oauth/token-response.ts';

/** A token source as callers see it, one for each generation of the configuration. */
export interface TokenClient {
  get(key: TokenKey): Token | Promise<Token>;
  /** An upstream refused `stale`. */
  renew(key: TokenKey, stale: Token): Token | Promise<Token> | undefined;
  refresh(key: TokenKey): Promise<Token>;
  /** The token that the next generation may start with. */
  kept(key: TokenKey): Token | undefined;
  close(): void;
}

export interface TokenClientOptions {
  readonly fetchToken: (key: TokenKey) => Promise<TokenResponse>;
  readonly clock: Clock;
  readonly waitMs: number;
  /** In [0, 1). */
  readonly random: () => number;
  readonly previous: TokenClient | undefined;
  /** Whether the previous generation's tokens belong to the same client. */
  readonly inherits: (key: TokenKey) => boolean;
}

/**
 * `flight`: every caller fetches · `clock`: uses only the wall clock · `key`: ignores the scope · `reload`: keeps using the
 * tokens of another client · `deadline`: waits as long as the server takes · `outage`: drops a valid token early.
 */
export type Flaw = 'none' | 'flight' | 'clock' | 'key' | 'reload' | 'deadline' | 'outage';

export function createNaiveTokens(flaw: Flaw, options: TokenClientOptions): TokenClient {
  const { clock, previous, inherits } = options;
  const tokens = new Map<string, Token>();
  const flights = new Map<string, Promise<Token>>();
  /** The next generation gets the tokens that exist when this one ends. */
  let atClose: Map<string, Token> | undefined;
  const idOf = ({ credential, scope }: TokenKey) => (flaw === 'key' ? credential : `${credential} ${scope}`);

  function usable(token: Token): boolean {
    const now = clock.now();
    const age = flaw === 'clock' ? now.wallMs - token.since.wallMs : elapsedSince(token.since, now);
    return age < (flaw === 'outage' ? token.refreshAfterMs : token.usableForMs);
  }

  async function fetchOnce(key: TokenKey): Promise<Token> {
    const since = clock.now();
    const answer = await options.fetchToken(key);
    if (answer.kind !== 'token') throw new Error(answer.result);
    const usableForMs = answer.lifetimeS * 1000;
    const expiresAt = since.wallMs + usableForMs;
    const lifespan = { since, expiresAt, usableForMs, refreshAfterMs: usableForMs / 4 };
    const token = { ...lifespan, authorization: answer.authorization, isShared: false };
    if (!usable(token)) throw new Error('expired on arrival');
    tokens.set(idOf(key), token);
    return token;
  }

  function fly(key: TokenKey): Promise<Token> {
    const id = idOf(key);
    const known = flaw === 'flight' ? undefined : flights.get(id);
    const flight = known ?? fetchOnce(key).finally(() => flights.delete(id));
    flights.set(id, flight);
    return flaw === 'deadline' ? flight : withDeadline(flight, options);
  }

  function get(key: TokenKey): Token | Promise<Token> {
    const inherited = flaw === 'reload' || inherits(key) ? previous?.kept(key) : undefined;
    const token = tokens.get(idOf(key)) ?? (dropped.has(idOf(key)) ? undefined : inherited);
    return token && usable(token) ? token : fly(key);
  }

  /** Keys whose inherited token was refused. */
  const dropped = new Set<string>();
  const drop = (key: TokenKey) => {
    dropped.add(idOf(key));
    tokens.delete(idOf(key));
  };
  return {
    get,
    renew(key, stale) {
      if ((tokens.get(idOf(key)) ?? previous?.kept(key)) === stale) drop(key);
      return get(key);
    },
    refresh(key) {
      drop(key);
      return fly(key);
    },
    kept: (key) =>
      (atClose ?? tokens).get(idOf(key)) ??
      (inherits(key) && !dropped.has(idOf(key)) ? previous?.kept(key) : undefined),
    close() {
      atClose = new Map(tokens);
    },
  };
}

function withDeadline(flight: Promise<Token>, { clock, waitMs }: TokenClientOptions): Promise<Token> {
  const { promise, resolve, reject } = Promise.withResolvers<Token>();
  const cancel = clock.startTimer(waitMs, () => reject(new Error('deadline')));
  flight.then(resolve, reject);
  return promise.finally(cancel);
}
