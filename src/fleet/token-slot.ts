/**
 * The place of one token in the store: its commands, with what is read opened and checked, and what is written sealed. What
 * is refused is counted, remembered, and counts as absent from then on.
 */
import { createHash } from 'node:crypto';
import { type Clock, elapsedSince, type Instant } from '../core/clock.ts';
import type { Secret } from '../core/secret.ts';
import type { FleetMemory } from './memory.ts';
import type { Place, Refusal, Sealer } from './seal.ts';
import type { Store } from './store.ts';
import { contentOf, readToken, type TokenContent } from './token-content.ts';

export interface SlotOptions {
  readonly store: Pick<Store, 'run'>;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly prefix: string;
  /** Of the store's channel. */
  readonly channel: string;
  /** What tells this token from others: token endpoint, client id, scope and so on. */
  readonly parts: readonly (string | undefined)[];
  /** Longest life of a lock that nobody holds on to, ms: more than two commands take. */
  readonly claimMs: number;
  /** Life of a lock that somebody does, ms. */
  readonly lockMs: number;
  readonly onRejected: (refusal: Refusal) => void;
  readonly memory: FleetMemory;
}

/** The right to fetch the token, for `lockMs`. */
export interface Claim {
  readonly holder: string;
  readonly generation: number;
  /** Of the secrets that are tried. */
  readonly verdictName: string;
}

export interface FoundToken extends TokenContent {
  readonly generation: number;
  /** When it had `leftMs`. */
  readonly since: Instant;
}

export type Found =
  | { readonly kind: 'token'; readonly token: FoundToken }
  | { readonly kind: 'claimed'; readonly claim: Claim }
  | { readonly kind: 'busy'; readonly leftMs: number; readonly holder: string }
  /** `late`: there is one that ends too soon, is older than what this member has fetched alone, or was refused to it. */
  | { readonly kind: 'late'; readonly generation: number }
  | { readonly kind: 'refused' | 'invalid_client' | 'none' };

/** How long others with the same secrets do not ask after the server has refused them. */
const REFUSED_MS = 30_000;
/** After another failure nobody asks for this long. */
const FAILED_MS = 1000;

export class TokenSlot {
  readonly name: string;
  readonly #options: SlotOptions;
  readonly #parts: readonly (string | undefined)[];
  readonly #id: string;
  /** SHA-1 of what was refused last. */
  #badToken = '';
  #badVerdict = '';

  constructor(options: SlotOptions) {
    this.#options = options;
    this.#parts = ['token', options.prefix, ...options.parts];
    // The name changes with the key.
    this.#id = JSON.stringify(this.#parts);
    this.name = options.sealer.name(this.#parts);
  }

  /** This token is not found any more: an API has refused it. */
  refuse(authorization: Secret): void {
    this.#options.memory.refuse(authorization);
  }

  /** This member has fetched one without a claim: older ones are not found any more. */
  fetchedAlone(since: Instant): void {
    this.#options.memory.fetchedAlone(this.#id, since);
  }

  /** Looks for a token newer than `known`. @returns undefined when the store cannot be used */
  look(known: number, name = this.name): Promise<Found | undefined> {
    return this.#acquire({ name, known, holder: '', lockMs: 0, verdictName: '' });
  }

  /** Looks under the names that the token has for members with another first key. */
  async lookElsewhere(): Promise<FoundToken | undefined> {
    const names = this.#options.sealer.olderNames(this.#parts);
    const found = await Promise.all(names.map((name) => this.look(0, name)));
    return found.flatMap((one) => (one?.kind === 'token' ? one.token : []))[0];
  }

  /**
   * Looks like `look`, and claims the right to fetch when there is no newer token.
   * @param holder unique to this call @param secrets fingerprints of those that would be tried
   */
  acquire(known: number, holder: string, secrets: readonly string[]): Promise<Found | undefined> {
    const verdictName = this.#verdictName(secrets);
    return this.#acquire({ name: this.name, known, holder, lockMs: this.#options.lockMs, verdictName });
  }

  /** Tells the others and frees the lock. @returns false when claim or token was over, undefined without the store */
  async put({ holder, generation }: Claim, token: TokenContent & { since: Instant }): Promise<boolean | undefined> {
    const { store, sealer, clock, channel } = this.#options;
    const place = { name: this.name, generation: String(generation) };
    const value = `${place.generation}:${await sealer.seal(place, contentOf(token))}`;
    const leftMs = Math.floor(token.leftMs - elapsedSince(token.since, clock.now()));
    const args = [holder, place.generation, value, String(leftMs), channel, this.name];
    const reply = await store.run('put', [this.#key('token'), this.#key('lock')], args);
    return typeof reply === 'number' ? reply === 1 : undefined;
  }

  /**
   * Ends a claim without a token. @param result of the request: after `invalid_client` others with the same secrets need not ask
   * @param secrets those of now: unless the claim was for the same, nobody knows which were refused
   */
  async giveUp({ holder, generation, verdictName }: Claim, result: string, secrets: readonly string[]): Promise<void> {
    const { store, sealer, channel } = this.#options;
    const place = { name: verdictName, generation: String(generation) };
    const isNoted = result === 'invalid_client' && this.#verdictName(secrets) === verdictName;
    const verdict = isNoted ? `${generation}:${await sealer.seal(place, { refused: true })}` : '';
    const args = [holder, verdict, String(REFUSED_MS), String(FAILED_MS), channel, this.name];
    await store.run('giveUp', [this.#key('lock'), this.#key(`verdict:${verdictName}`)], args);
  }

  async #acquire(ask: { name: string; known: number; holder: string; lockMs: number; verdictName: string }) {
    const { store, clock, claimMs } = this.#options;
    const { name, known, holder, lockMs, verdictName } = ask;
    const since = clock.now();
    const keys = ['token', 'lock', 'generation', `verdict:${verdictName}`].map((what) => this.#key(what, name));
    const args = [String(known), holder, String(claimMs), String(lockMs), this.#badToken, this.#badVerdict];
    const reply = await store.run('acquire', keys, args);
    const [kind, first, second] = Array.isArray(reply) ? (reply as readonly unknown[]) : [];
    switch (kind) {
      case 'token':
        return this.#token(name, String(first), { leftMs: Number(second), since });
      case 'verdict':
        return this.#verdict(verdictName, String(first));
      case 'claimed':
        if (second === 1) this.#options.onRejected('format');
        // In the background: the lock is there already.
        void store.run('hold', [this.#key('lock')], [holder, String(lockMs)]);
        return { kind, claim: { holder, generation: Number(first), verdictName } } as const;
      case 'busy':
        return { kind, leftMs: Number(first), holder: String(second) } as const;
      default:
        return kind === 'none' ? ({ kind } as const) : undefined;
    }
  }

  async #token(name: string, value: string, { leftMs, since }: { leftMs: number; since: Instant }): Promise<Found> {
    const { generation, content } = await this.#open(name, value);
    const token = typeof content === 'string' ? content : readToken(content, leftMs);
    if (token === 'late') return { kind: 'late', generation };
    if (typeof token !== 'string' && this.#isPast(token, since)) return { kind: 'late', generation };
    if (typeof token !== 'string') return { kind: 'token', token: { ...token, generation, since } };
    if (name === this.name) this.#badToken = sha1(value);
    this.#options.onRejected(token);
    return { kind: 'refused' };
  }

  /** By the store's countdown, not by another member's clock. */
  #isPast({ authorization, lifetimeS, leftMs }: TokenContent, since: Instant): boolean {
    const { memory } = this.#options;
    const aloneSince = memory.aloneSince(this.#id);
    const isOlder = aloneSince !== undefined && lifetimeS * 1000 - leftMs > elapsedSince(aloneSince, since);
    return isOlder || memory.isRefused(authorization);
  }

  async #verdict(name: string, value: string): Promise<Found> {
    const { content } = await this.#open(name, value);
    if (typeof content !== 'string' && content['refused'] === true) return { kind: 'invalid_client' };
    this.#badVerdict = sha1(value);
    this.#options.onRejected(typeof content === 'string' ? content : 'content');
    return { kind: 'refused' };
  }

  async #open(name: Place['name'], value: string) {
    const [generation = '', ...rest] = value.split(':');
    const opened = await this.#options.sealer.open({ name, generation }, rest.join(':'));
    return { generation: Number(generation), content: typeof opened === 'string' ? opened : opened.content };
  }

  #verdictName(secrets: readonly string[]): string {
    return this.#options.sealer.name(['secrets', this.name, ...[...secrets].sort()]);
  }

  #key(what: string, name = this.name): string {
    return `${this.#options.prefix}:{${name}}:${what}`;
  }
}

function sha1(value: string): string {
  return createHash('sha1').update(value).digest('hex');
}
