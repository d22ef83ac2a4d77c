/**
 * Tokens as a worker has them: copies of what the primary has, used while both clocks say that they are valid. The primary
 * renews them behind; it is asked only where there is none, once however many callers wait, or where an API refused one.
 */
import { type Clock, elapsedSince } from '../../core/clock.ts';
import { SidecarError } from '../../core/errors.ts';
import { Secret } from '../../core/secret.ts';
import { MIN_INTERVAL_MS, phaseOf } from '../../oauth/refresh-policy.ts';
import type { LookupResult, Token, TokenKey } from '../../oauth/token.ts';
import { Waiters } from '../../oauth/waiters.ts';
import type { RouteTokens } from '../../proxy/route.ts';
import type { TokenReply, WireToken } from './protocol.ts';

export interface TokenMirrorOptions {
  readonly key: TokenKey;
  readonly token: WireToken | undefined;
  /** Asks the primary for the token to use now; `refused` is the serial of one that an API did not accept. */
  readonly ask: (refused: number | undefined) => Promise<TokenReply>;
  /** For metrics; the first caller of those that wait for one reply is counted by the primary. */
  readonly onLookup: (result: LookupResult) => void;
  /** How long one caller waits, ms. */
  readonly waitMs: number;
  readonly clock: Clock;
}

export class TokenMirror implements RouteTokens {
  readonly key: TokenKey;
  readonly #options: TokenMirrorOptions;
  readonly #waiters: Waiters;
  #held: { readonly token: Token; readonly serial: number } | undefined;
  #asking = false;

  constructor(options: TokenMirrorOptions) {
    const { key, waitMs, clock } = options;
    this.key = key;
    this.#options = options;
    this.#waiters = new Waiters({ credential: key.credential, waitMs, clock });
    this.accept(options.token);
  }

  /** See `TokenSource.get`. */
  get(): Token | Promise<Token> {
    const { clock, onLookup } = this.#options;
    const phase = this.#held ? phaseOf(this.#held.token, clock.now()) : 'expired';
    if (this.#held && phase !== 'expired') {
      onLookup(phase === 'fresh' ? 'hit' : 'early');
      return this.#held.token;
    }
    return this.#wait(undefined);
  }

  /** See `TokenSource.renew`. */
  renew(stale: Token): Token | Promise<Token> | undefined {
    const held = this.#held;
    if (held?.token !== stale) return this.get();
    if (elapsedSince(stale.since, this.#options.clock.now()) < MIN_INTERVAL_MS) return undefined;
    this.#held = undefined;
    return this.#wait(held.serial);
  }

  /** What the primary has now; undefined = nothing that may be used. */
  accept(wire: WireToken | undefined): void {
    // A reply may have been overtaken.
    if (wire && this.#held && wire.serial <= this.#held.serial) return;
    this.#held = wire && { token: this.#read(wire), serial: wire.serial };
    if (this.#held) this.#waiters.serve(this.#held.token);
  }

  #read({ authorization, sinceWallMs, ageMs, refreshAfterMs, usableForMs, expiresAt }: WireToken): Token {
    const since = { wallMs: sinceWallMs, monotonicMs: this.#options.clock.now().monotonicMs - ageMs };
    return { since, refreshAfterMs, usableForMs, expiresAt, authorization: new Secret(authorization) };
  }

  #wait(refused: number | undefined): Promise<Token> {
    if (this.#asking) return this.#waiters.wait(this.#options.onLookup);
    const token = this.#waiters.wait();
    void this.#ask(refused);
    return token;
  }

  async #ask(refused: number | undefined): Promise<void> {
    this.#asking = true;
    const reply = await this.#options.ask(refused);
    this.#asking = false;
    if ('token' in reply) {
      this.accept(reply.token);
      this.#waiters.serve(this.#read(reply.token));
      return;
    }
    const { code, extras } = reply.failed;
    const isFirstCallersTime = extras.fields?.['result'] === 'wait_timeout';
    if (!isFirstCallersTime) this.#waiters.fail(new SidecarError(code, extras), reply.waited ? 'join' : 'miss');
    // The primary counts the time from the first of them: the others have some left.
    else if (this.#waiters.size > 0) void this.#ask(undefined);
  }
}
