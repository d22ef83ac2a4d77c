/**
 * One token that all members of a fleet use: looked up in the store, fetched by the one member that gets the lock, taken over
 * by the others. Without the store each member fetches its own.
 */
import { elapsedSince } from '../core/clock.ts';
import type { Secret } from '../core/secret.ts';
import type { ObtainedToken, Replaced } from '../oauth/token.ts';
import { withFailure } from '../oauth/token-endpoint.ts';
import type { TokenResponse } from '../oauth/token-response.ts';
import { News } from './news.ts';
import { type Claim, type Found, type FoundToken, type SlotOptions, TokenSlot } from './token-slot.ts';

export interface SharedTokenOptions extends Omit<SlotOptions, 'claimMs' | 'lockMs'> {
  /** In [0, 1). */
  readonly random: () => number;
  /** Fingerprints of the client secrets that are tried. */
  readonly secrets: () => readonly string[];
  /** Returns what no other claim of any member has. */
  readonly newHolder: () => string;
  /** Longest time for one token request, ms. */
  readonly attemptMs: number;
  /** Longest time for one command of the store, ms. */
  readonly timeoutMs: number;
  /** Of the identity server, for failure messages. */
  readonly host: string | undefined;
  readonly onToken: (source: 'fetched' | 'shared') => void;
}

interface Ask {
  readonly own: () => Promise<TokenResponse>;
  /** Resolves when a caller waits. */
  readonly untilAwaited: () => Promise<void>;
  /** The token that the new one takes the place of. */
  readonly replaced: Replaced | undefined;
}

type Dated = ObtainedToken & Pick<FoundToken, 'since'>;

/** Beyond one token request: for the commands, and so that two members do not fetch for a slow server. */
const LOCK_MARGIN_MS = 500;
const LEAST_CLAIM_MS = 1000;
/** Waiting for another member ends so long after its token request must have ended: the next one has begun by then. */
const BEYOND_MS = 1500;
/** Without news, a member that waits looks again after this time, and up to `SPREAD_MS` later, so that not all do at once. */
const POLL_MS = 1000;
const SPREAD_MS = 200;
/** After so many values that cannot be used, a member goes on without the store. */
const MAX_UNUSABLE = 3;
/** Without the store, members that start together fetch within this time. */
const HERD_MS = 2000;
/** News that come faster are looked at together. */
const LOOK_EVERY_MS = 200;

/** The token of one token source. Never rejects; the store's failures are not its callers'. One fetch at a time. */
export class SharedToken {
  /** In news. */
  readonly name: string;
  readonly #options: SharedTokenOptions;
  readonly #slot: TokenSlot;
  readonly #news: News;
  /** Where the newest token came from; undefined before the first. */
  source: 'fetched' | 'shared' | undefined;
  /** Generation of the token that the source has from the store, or has put there. */
  #known = 0;
  /** There was a token, or this member has already waited for its turn without the store. */
  #isSpread = false;
  #isFetching = false;
  #take: ((newer: ObtainedToken) => void) | undefined;
  #cancelLook: (() => void) | undefined;

  constructor(options: SharedTokenOptions) {
    this.#options = options;
    this.#news = new News(options.clock);
    const { attemptMs, timeoutMs } = options;
    const claimMs = Math.max(LEAST_CLAIM_MS, 4 * timeoutMs);
    this.#slot = new TokenSlot({ ...options, claimMs, lockMs: attemptMs + LOCK_MARGIN_MS });
    this.name = this.#slot.name;
  }

  /** Where the token in use came from is told to `onToken`. @param own fetches from the identity server */
  async fetch(own: Ask['own'], untilAwaited: Ask['untilAwaited'], replaced?: Replaced): Promise<TokenResponse> {
    this.#isFetching = true;
    return await this.#obtain({ own, untilAwaited, replaced }).finally(() => {
      this.#isFetching = false;
    });
  }

  /** What an API refused is not taken from the store again, whichever generation looks. */
  refuse(authorization: Secret): void {
    this.#slot.refuse(authorization);
  }

  /** Calls `take` with each newer token that another member has fetched. Returns the function that ends this. */
  subscribe(take: (newer: ObtainedToken) => void): () => void {
    this.#take = take;
    return () => {
      this.#take = undefined;
      this.#cancelLook?.();
      this.#cancelLook = undefined;
    };
  }

  /** Another member has stored a token or given up, or messages may have been missed. */
  onNews(): void {
    this.#news.came();
    if (!this.#take || this.#isFetching) return;
    this.#cancelLook ??= this.#options.clock.startTimer(LOOK_EVERY_MS, () => {
      this.#cancelLook = undefined;
      void this.#takeNewer();
    });
  }

  async #obtain(ask: Ask): Promise<TokenResponse> {
    const { clock, attemptMs, newHolder, secrets } = this.#options;
    const begun = clock.now();
    const seen = new Set<string>();
    for (let unusable = 0; unusable < MAX_UNUSABLE; ) {
      const { heard } = this.#news;
      const found = await this.#slot.acquire(this.#known, newHolder(), secrets());
      const response = await this.#use(found, ask);
      if (response) return response;
      const leftMs = attemptMs + BEYOND_MS - elapsedSince(begun, clock.now());
      const isBusy = found?.kind === 'busy';
      if (isBusy) seen.add(found.holder);
      else if (found) unusable += 1;
      // When others have tried and failed, the next one tries now: the members together ask as often as one would.
      if (leftMs <= 0) return isBusy && seen.size > 1 ? this.#failed('unavailable', 'timeout') : this.#alone(ask);
      if (isBusy) await this.#news.wait(Math.min(leftMs, this.#pollMs(found.leftMs)), heard);
    }
    return this.#alone(ask);
  }

  async #alone({ own }: Ask): Promise<TokenResponse> {
    const response = await this.#asked(own);
    if (response.kind === 'token') this.#slot.fetchedAlone(response.since);
    return this.#counted(response, 'fetched');
  }

  /** A token counts from here, and not from when this member began to wait for others. */
  async #asked(own: Ask['own']) {
    const since = this.#options.clock.now();
    const response = await own();
    return response.kind === 'token' ? { ...response, since: response.since ?? since } : response;
  }

  /** Time after which one that waits for a lock looks again without news. */
  #pollMs(leftMs: number): number {
    return Math.min(POLL_MS, leftMs) + SPREAD_MS * this.#options.random();
  }

  /** @returns undefined when another member fetches, or what is there cannot be used */
  async #use(found: Found | undefined, ask: Ask): Promise<TokenResponse | undefined> {
    switch (found?.kind) {
      case 'token':
        this.#known = found.token.generation;
        return isIt(found.token, ask.replaced) ? undefined : this.#shared(found.token);
      case 'late':
        this.#known = found.generation;
        return undefined;
      case 'claimed':
        return (await this.#takeOver(found.claim, ask.replaced)) ?? this.#fetchForAll(ask.own, found.claim);
      case 'invalid_client':
        return this.#failed('rejected', found.kind);
      case undefined:
        // The store may have come back meanwhile.
        return (await this.#spread(ask.untilAwaited)) ? undefined : this.#alone(ask);
      default:
        return undefined;
    }
  }

  /** Moves a token that members with another first key have to this one's name: they and this one share it. */
  async #takeOver(claim: Claim, replaced: Replaced | undefined): Promise<TokenResponse | undefined> {
    if (replaced?.isRefused) return undefined;
    const token = await this.#slot.lookElsewhere();
    if (!token || isIt(token, replaced)) return undefined;
    // In place of one that is still valid, only one that is new.
    if (replaced && token.leftMs < (token.lifetimeS * 1000) / 2) return undefined;
    void this.#slot.put(claim, token);
    this.#known = claim.generation;
    return this.#shared(token);
  }

  async #fetchForAll(own: Ask['own'], claim: Claim): Promise<TokenResponse> {
    const response = await this.#asked(own);
    // Nobody waits for the store any more.
    if (response.kind !== 'token') {
      void this.#slot.giveUp(claim, response.result, this.#options.secrets());
      return response;
    }
    this.#known = claim.generation;
    void this.#put(claim, response);
    return this.#counted(response, 'fetched');
  }

  async #put(claim: Claim, token: Dated) {
    const { authorization, lifetimeS, roundedOffS = 0, since } = token;
    const wholeS = lifetimeS - roundedOffS;
    const isStored = await this.#slot.put(claim, { authorization, lifetimeS: wholeS, leftMs: wholeS * 1000, since });
    // The store may still have an older one.
    if (isStored === undefined) this.#slot.fetchedAlone(since);
    // This member was stopped for longer than its lock: another one's token is in use by all.
    if (isStored === false) await this.#takeNewer();
  }

  async #takeNewer(): Promise<void> {
    const found = await this.#slot.look(this.#known);
    // A fetch that has begun meanwhile finds it by itself.
    if (found?.kind !== 'token' || !this.#take || this.#isFetching || found.token.generation <= this.#known) return;
    this.#known = found.token.generation;
    this.#take(this.#shared(found.token));
  }

  /** Waits a little before the first fetch without the store, unless a caller waits. @returns whether it did */
  async #spread(untilAwaited: () => Promise<void>): Promise<boolean> {
    const { clock, random } = this.#options;
    if (this.#isSpread) return false;
    this.#isSpread = true;
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = clock.startTimer(HERD_MS * random(), resolve);
    await Promise.race([promise, untilAwaited()]);
    cancel();
    return true;
  }

  #shared({ authorization, lifetimeS, leftMs, since }: FoundToken): ObtainedToken {
    const leftS = leftMs / 1000;
    const known = { authorization, lifetimeS: leftS, passedS: lifetimeS - leftS, since, assumedLifetime: false };
    return this.#counted({ kind: 'token', ...known, isShared: true }, 'shared');
  }

  #counted<Response extends TokenResponse>(response: Response, source: 'fetched' | 'shared'): Response {
    if (response.kind !== 'token') return response;
    this.#isSpread = true;
    this.source = source;
    this.#options.onToken(source);
    return response;
  }

  #failed(kind: 'rejected' | 'unavailable', result: string): TokenResponse {
    return withFailure({ kind, result }, undefined, this.#options.host);
  }
}

const isIt = ({ authorization }: { authorization: Secret }, replaced?: Replaced) =>
  replaced?.authorization.equals(authorization) ?? false;
