/**
 * One token that all members of a fleet use: looked up in the store, fetched by the one member that gets the lock, taken over
 * by the others. Without the store each member fetches its own.
 */
import { type Clock, elapsedSince, type Instant } from '../core/clock.ts';
import type { ObtainedToken } from '../oauth/token.ts';
import { withFailure } from '../oauth/token-endpoint.ts';
import type { TokenResponse } from '../oauth/token-response.ts';
import type { Refusal, Sealer } from './seal.ts';
import type { Store } from './store.ts';
import { contentOf, readToken } from './token-content.ts';

export interface SharedTokenOptions {
  readonly store: Pick<Store, 'run'>;
  readonly sealer: Sealer;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly prefix: string;
  /** Of the store's channel. */
  readonly channel: string;
  /** What tells this token from others: token endpoint, client id, scope and so on. */
  readonly parts: readonly (string | undefined)[];
  /** Unique to this process. */
  readonly member: string;
  /** Longest time for one token request, ms. */
  readonly attemptMs: number;
  /** Of the identity server, for failure messages. */
  readonly host: string | undefined;
  readonly onToken: (source: 'fetched' | 'shared') => void;
  readonly onRejected: (refusal: Refusal) => void;
}

type Own = () => Promise<TokenResponse>;

type Found =
  | { readonly kind: 'token'; readonly value: string; readonly leftMs: number; readonly since: Instant }
  | { readonly kind: 'claimed'; readonly generation: number }
  | { readonly kind: 'busy'; readonly leftMs: number }
  | { readonly kind: 'refused' | 'none' };

/** Far more than a sealed token of the largest accepted size. */
const MAX_BYTES = 32 * 1024;
/** Beyond one token request: for the commands, and so that two members do not fetch for a slow server. */
const LOCK_MARGIN_MS = 500;
/** Waiting for another member ends so long after its token request must have ended. */
const BEYOND_MS = 1000;
/** A member that waits for a lock to expire looks again up to this much later, so that not all do at once. */
const SPREAD_MS = 200;
/** Without the store, members that start together fetch within this time. */
const HERD_MS = 2000;
/** After a failure nobody fetches for this long. */
const FAILED_MS = 1000;
const REFUSED_MS = 30_000;
/** News that come faster are looked at together. */
const LOOK_EVERY_MS = 200;

/** The token of one key, as one member sees it. Never rejects; the store's failures are not its callers'. */
export class SharedToken {
  readonly #options: SharedTokenOptions;
  readonly name: string;
  /** Fingerprints of the client secrets, in the order they are tried; replaced by a reload. */
  secrets: () => readonly string[] = () => [];
  readonly #holder: string;
  /** Generation of the newest token taken, given or refused. */
  #known = 0;
  /** There was a token, or this member has already waited for its turn without the store. */
  #isSpread = false;
  #hasToken = false;
  #wake: (() => void)[] = [];
  /** News so far: those that come while a reply is on its way count too. */
  #heard = 0;
  #take: ((newer: ObtainedToken) => void) | undefined;
  #cancelLook: (() => void) | undefined;

  constructor(options: SharedTokenOptions) {
    this.#options = options;
    this.name = options.sealer.name(['token', ...options.parts]);
    this.#holder = `${options.member}:${this.name.slice(0, 8)}`;
  }

  /** Where the token in use came from is told to `onToken`. @param own fetches from the identity server */
  async fetch(own: Own, untilAwaited: () => Promise<void>): Promise<TokenResponse> {
    const { clock, attemptMs, random } = this.#options;
    const begun = clock.now();
    for (;;) {
      const heard = this.#heard;
      const found = await this.#acquire(attemptMs + LOCK_MARGIN_MS);
      const response = await this.#use(found, own, untilAwaited);
      if (response) return response;
      const leftMs = attemptMs + BEYOND_MS - elapsedSince(begun, clock.now());
      if (leftMs <= 0) return this.#counted(await own(), 'fetched');
      if (found?.kind !== 'busy' || heard !== this.#heard) continue;
      await this.#news(Math.min(leftMs, Math.max(1, found.leftMs) + SPREAD_MS * random()));
    }
  }

  /** @returns undefined when another member fetches, or has stored what cannot be used */
  async #use(
    found: Found | undefined,
    own: Own,
    untilAwaited: () => Promise<void>,
  ): Promise<TokenResponse | undefined> {
    switch (found?.kind) {
      case 'token':
        return this.#open(found);
      case 'busy':
        return undefined;
      case 'refused':
        return withFailure({ kind: 'rejected', result: 'invalid_client' }, undefined, this.#options.host);
      case 'claimed':
        return this.#fetchForAll(own, found.generation);
      default:
        // The store may have come back meanwhile.
        return (await this.#spread(untilAwaited)) ? undefined : this.#counted(await own(), 'fetched');
    }
  }

  /** Calls `take` with each newer token that another member has fetched. Returns the function that ends this. */
  subscribe(take: (newer: ObtainedToken) => void): () => void {
    this.#take = take;
    return () => {
      if (this.#take !== take) return;
      this.#take = undefined;
      this.#cancelLook?.();
      this.#cancelLook = undefined;
    };
  }

  /** Another member has stored a token or given up, or messages may have been missed. */
  onNews(): void {
    this.#heard += 1;
    if (this.#wake.length > 0) {
      for (const wake of this.#wake.splice(0)) wake();
      return;
    }
    if (!this.#take || !this.#hasToken) return;
    this.#cancelLook ??= this.#options.clock.startTimer(LOOK_EVERY_MS, () => {
      this.#cancelLook = undefined;
      void this.#takeNewer();
    });
  }

  async #takeNewer(): Promise<void> {
    const found = await this.#acquire(0);
    const token = found?.kind === 'token' ? await this.#open(found) : undefined;
    if (token) this.#take?.(token);
  }

  async #fetchForAll(own: Own, generation: number): Promise<TokenResponse> {
    const { clock } = this.#options;
    const since = clock.now();
    const response = await own();
    // Nobody waits for the store any more.
    if (response.kind === 'token') void this.#put(response, response.since ?? since, generation);
    else void this.#giveUp(response.kind === 'rejected' && response.result === 'invalid_client');
    return this.#counted(response, 'fetched');
  }

  async #put(token: ObtainedToken, since: Instant, generation: number): Promise<void> {
    const { store, sealer, clock, channel } = this.#options;
    const lifetimeS = token.lifetimeS - (token.roundedOffS ?? 0);
    const leftMs = Math.floor(lifetimeS * 1000 - elapsedSince(since, clock.now()));
    if (leftMs <= 0) return;
    const place = { name: this.name, generation: String(generation) };
    const sealed = await sealer.seal(place, contentOf(token.authorization, lifetimeS));
    const args = [this.#holder, place.generation, `${place.generation}:${sealed}`, String(leftMs), channel, this.name];
    const isStored = await store.run('put', [this.#key('token'), this.#key('lock')], args);
    if (isStored === 1) this.#known = Math.max(this.#known, generation);
    // This member was stopped for longer than its lock: another one's token is in use by all.
    else if (isStored === 0) await this.#takeNewer();
  }

  async #giveUp(isRefused: boolean): Promise<void> {
    const { store, channel } = this.#options;
    const args = [this.#holder, String(isRefused ? REFUSED_MS : 0), String(FAILED_MS), channel, this.name];
    await store.run('giveUp', [this.#key('lock'), this.#refusedKey()], args);
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

  #counted<Response extends TokenResponse>(response: Response, source: 'fetched' | 'shared'): Response {
    if (response.kind !== 'token') return response;
    this.#isSpread = true;
    this.#hasToken = true;
    this.#options.onToken(source);
    return response;
  }

  /** Resolves when there are news of this token, at the latest after `ms`. */
  #news(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.startTimer(ms, resolve);
      this.#wake.push(() => {
        cancel();
        resolve();
      });
    });
  }

  /** @param lockMs 0 = only look @returns undefined when the store cannot be used */
  async #acquire(lockMs: number): Promise<Found | undefined> {
    const since = this.#options.clock.now();
    const keys = [this.#key('token'), this.#key('lock'), this.#key('generation'), this.#refusedKey()];
    const args = [String(this.#known), String(MAX_BYTES), this.#holder, String(lockMs)];
    const reply = await this.#options.store.run('acquire', keys, args);
    if (!Array.isArray(reply)) return undefined;
    const [kind, first, second] = reply as readonly unknown[];
    if (kind === 'claimed' && second === 1) this.#options.onRejected('format');
    if (kind === 'token') return { kind, value: String(first), leftMs: Number(second), since };
    if (kind === 'claimed') return { kind, generation: Number(first) };
    if (kind === 'busy') return { kind, leftMs: Number(first) };
    return kind === 'refused' || kind === 'none' ? { kind } : undefined;
  }

  /** @returns undefined for a value that is refused; it then counts as absent */
  async #open({ value, leftMs, since }: Found & { kind: 'token' }): Promise<ObtainedToken | undefined> {
    const [generation = '', ...rest] = value.split(':');
    const opened = await this.#options.sealer.open({ name: this.name, generation }, rest.join(':'));
    this.#known = Math.max(this.#known, Number(generation));
    const token = typeof opened === 'string' ? opened : readToken(opened.content, leftMs);
    if (typeof token === 'string') {
      this.#options.onRejected(token);
      return undefined;
    }
    return this.#counted({ kind: 'token' as const, ...token, assumedLifetime: false, since }, 'shared');
  }

  #key(what: string): string {
    return `${this.#options.prefix}:{${this.name}}:${what}`;
  }

  /** Of the secrets of this member: one with other secrets is not told no. */
  #refusedKey(): string {
    return this.#key(`refused:${this.#options.sealer.name(['secrets', ...this.secrets()])}`);
  }
}
