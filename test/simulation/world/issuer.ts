/**
 * What makes the identity server an issuer: its discovery document, its key set, and the keys that sign its tokens. With
 * everything that can be wrong with them, and with whoever signs a token that he must not.
 */
// Loaded in time: verification imports it at its first token.
import 'jose';
import type { Stamp } from '../platform/network.ts';
import type { SimulatedProcess } from '../platform/process.ts';
import type { Request } from './http.ts';
import type { IssuerPart } from './parts.ts';
import { type PublicKey, type SigningKey, signingKey } from './signing-key.ts';
import type { World } from './world.ts';

export const ISSUER = 'https://id.sim';
export const AUDIENCE = 'payments-api';

/** How a document is served. */
export type Served = 'right' | 'empty' | 'broken' | 'failing' | 'silent';
/** What is wrong with a token. */
export type Forgery = 'key' | 'issuer' | 'audience' | 'opaque';

const DOCUMENT_PATH = '/.well-known/openid-configuration';

export class Issuer {
  readonly part: IssuerPart;
  readonly #world: World;
  #count = 1;
  #key: SigningKey = signingKey('1', 'k1');
  #published: readonly PublicKey[] = [this.#key.public];
  /** Key sets that stay where they were when the set moved. */
  readonly #old = new Map<string, readonly PublicKey[]>();
  #tokenPath = '/connect/token';
  #keysPath = '/keys';
  readonly #served: { document: Served; keys: Served } = { document: 'right', keys: 'right' };
  #forgery: { how: Forgery; times: number } = { how: 'key', times: 0 };
  #repairs = 0;
  /** When a document was last served wrongly, or a token was last signed with a key that is not published; true ms. */
  wrongAt = Number.NEGATIVE_INFINITY;
  /** When there was a new key, true ms. */
  keysChangedAt = Number.NEGATIVE_INFINITY;
  /** When a key with which tokens were signed until then was taken out of the key set. */
  keyDroppedAt = Number.NEGATIVE_INFINITY;
  /** When the key set moved last, true ms. */
  keysMovedAt = Number.NEGATIVE_INFINITY;

  constructor(world: World, part: IssuerPart) {
    this.#world = world;
    this.part = part;
  }

  /** In place of the token endpoint, in the configuration. */
  get options(): object {
    return { issuer: ISSUER, ...(this.part.isVerifying && { verify: true, audience: AUDIENCE }) };
  }

  /** Whether it is a token request at the right place; everything else it responds to, but for what is silent. */
  isTokenRequest({ words: [method, path] }: Request): boolean {
    return method === 'POST' && path === this.#tokenPath;
  }

  /** Responds to what is not a token request. */
  respond(request: Request): void {
    const [method, path] = request.words;
    const what = method !== 'GET' ? undefined : path === DOCUMENT_PATH ? 'document' : 'keys';
    const { from, sent } = request;
    const served = what ? this.#served[what] : 'right';
    const body = what && this.#bodyOf(what, path);
    // The keys may have moved.
    const isServed = served === 'right' && body !== undefined;
    if (what && from) this.#world.observe({ kind: 'issuerRequest', what, from, sent, isServed });
    this.#world.trace('issuer', `${method} ${path}: ${served}`);
    if (served !== 'right') this.wrongAt = this.#world.platform.time.nowMs;
    if (served === 'silent') return;
    if (served === 'failing') request.respond({ status: 500, body: { error: 'out of order' } });
    else if (body) request.respond({ status: 200, body });
    else request.respond({ status: 404, body: { error: 'there is nothing' } });
  }

  /** A token for the claims, and whether it must not be used. */
  sign(client: string, issuedAtS: number, lifetimeS: number): { value: string; isForged: boolean } {
    this.#count += 1;
    const claims = {
      iss: ISSUER,
      aud: AUDIENCE,
      sub: client,
      jti: this.#count,
      iat: issuedAtS,
      exp: issuedAtS + lifetimeS,
    };
    const isPublished = this.#published.some((key) => isSame(key, this.#key.public));
    if (!isPublished) this.wrongAt = this.#world.platform.time.nowMs;
    if (this.#forgery.times === 0) return { value: this.#key.sign(claims), isForged: false };
    this.#forgery.times -= 1;
    this.wrongAt = this.#world.platform.time.nowMs;
    const { how } = this.#forgery;
    this.#world.trace('issuer', `the next token has a wrong ${how}`);
    return { value: this.#forge(how, claims), isForged: true };
  }

  /** A key that is published, and then used; the one before it is withdrawn then. */
  rotate(gapMs: number): void {
    const next = this.#nextKey();
    const before = this.#published;
    this.#published = [...before, next.public];
    this.#after(gapMs, () => {
      this.#key = next;
      // Unless another one has taken its place meanwhile, everybody has had it since it was published.
      if (!this.#published.includes(next.public)) this.keysChangedAt = this.#world.platform.time.nowMs;
      this.#published = [next.public];
      this.keyDroppedAt = this.#world.platform.time.nowMs;
    });
  }

  /** A key that is used before it is published. */
  rotateEarly(ms: number): void {
    this.#key = this.#nextKey();
    const { public: published } = this.#key;
    this.#after(ms, () => {
      this.#published = [published];
    });
  }

  /** Another key under the same id. */
  replaceKey(): void {
    this.#key = this.#nextKey(this.#key.kid);
    this.#published = [this.#key.public];
  }

  serve(what: 'document' | 'keys', served: Served, ms: number): void {
    this.#served[what] = served;
    this.#after(ms, () => {
      this.#served[what] = 'right';
    });
  }

  forgeNext(how: Forgery, times: number): void {
    this.#forgery = { how, times };
  }

  moveTokenEndpoint(): void {
    this.#count += 1;
    this.#tokenPath = `/connect/token-${this.#count}`;
  }

  /** @param keepsOld the keys of now stay at the old place */
  moveKeys(keepsOld: boolean): void {
    this.#count += 1;
    if (keepsOld) this.#old.set(this.#keysPath, this.#published);
    this.#keysPath = `/keys-${this.#count}`;
    this.keysMovedAt = this.#world.platform.time.nowMs;
  }

  repair(): void {
    this.#repairs += 1;
    Object.assign(this.#served, { document: 'right', keys: 'right' });
    this.#forgery.times = 0;
    this.#published = [this.#key.public];
  }

  #nextKey(kid?: string): SigningKey {
    this.#count += 1;
    this.keysChangedAt = this.#world.platform.time.nowMs;
    return signingKey(String(this.#count), kid ?? `k${this.#count}`);
  }

  #bodyOf(what: 'document' | 'keys', path: string): object | undefined {
    const isEmpty = this.#served[what] === 'empty';
    const isBroken = this.#served[what] === 'broken';
    if (what === 'document') {
      if (isEmpty) return {};
      const at = (end: string) => `${ISSUER}${end}`;
      const issuer = isBroken ? 'https://other.sim' : ISSUER;
      return { issuer, token_endpoint: at(this.#tokenPath), jwks_uri: at(this.#keysPath) };
    }
    const keys = path === this.#keysPath ? this.#published : this.#old.get(path);
    if (!keys) return undefined;
    if (isEmpty) return { keys: [] };
    return { keys: isBroken ? keys.map((key) => ({ ...key, x: 'AAAA' })) : keys };
  }

  #forge(how: Forgery, claims: { iss: string; aud: string }): string {
    if (how === 'opaque') return `opaque-${this.#count}`;
    if (how === 'key') return signingKey('of a thief', this.#key.kid).sign(claims);
    return this.#key.sign(how === 'issuer' ? { ...claims, iss: 'https://other.sim' } : { ...claims, aud: 'other-api' });
  }

  /** Unless everything is repaired before. */
  #after(ms: number, then: () => void): void {
    const repairs = this.#repairs;
    const { time } = this.#world.platform;
    time.after(ms, time.kernel, () => {
      if (repairs === this.#repairs) then();
    });
  }
}

/** What a sidecar asks an issuer for. */
export interface IssuerRequest {
  readonly kind: 'issuerRequest';
  readonly what: 'document' | 'keys';
  readonly from: SimulatedProcess;
  /** A slow server comes to it later. */
  readonly sent: Stamp;
  /** With what it asked for. */
  readonly isServed: boolean;
}

function isSame(one: PublicKey, other: PublicKey): boolean {
  return one.kid === other.kid && one.x === other.x;
}
