/**
 * A token source in a world where a test decides what happens next: who asks, what the server responds and when, what time
 * it is. Every violation of the source's rules is recorded when it happens.
 */
import { elapsedSince, type Instant } from '../../src/core/clock.ts';
import { Secret } from '../../src/core/secret.ts';
import type { Token, TokenKey } from '../../src/oauth/token.ts';
import type { TokenResponse } from '../../src/oauth/token-response.ts';
import { allPromises, createFakeClock } from './clock.ts';
import type { TokenClient, TokenClientOptions } from './naive-token-source.ts';

/** The server's response; `token` with its stated lifetime. */
export type Reply = { readonly kind: 'token'; readonly lifetimeS: number } | Exclude<TokenResponse, { kind: 'token' }>;

/** One configuration: the client of each credential, and what has happened since it is in use. */
interface Facts {
  readonly number: number;
  readonly clients: Readonly<Record<string, string>>;
  /** By key: the last token delivered, unless it was dropped since. */
  readonly kept: Map<string, string>;
  /** Keys with a token of this configuration. */
  readonly landed: Set<string>;
  /** By key: time of the last request, monotonic ms. */
  readonly askedAt: Map<string, number>;
  /** By key: the content of the token bucket for requests, ms, as of `askedAt`. */
  readonly credit: Map<string, number>;
  /** Keys whose token an upstream has refused since their last request. */
  readonly refused: Set<string>;
}

interface Era extends Facts {
  readonly engine: TokenClient;
}

interface Flight {
  readonly key: TokenKey;
  readonly era: Facts;
  readonly startedAt: Instant;
  readonly land: (answer: TokenResponse) => void;
}

/** What the server knows of an issued token. */
interface Grant {
  readonly id: string;
  readonly client: string;
  readonly era: number;
  readonly startedAt: Instant;
  readonly lifetimeMs: number;
}

interface Call {
  readonly startedAtMs: number;
  settled: boolean;
}

export type Engine = (options: TokenClientOptions) => TokenClient;

const WAIT_MS = 10_000;
const MIN_SPACING_MS = 1000;
const idOf = ({ credential, scope, audience, resource }: TokenKey) =>
  JSON.stringify([credential, scope ?? null, audience ?? null, resource ?? null]);

export class TokenWorld {
  readonly clock = createFakeClock(undefined, allPromises);
  readonly violations: string[] = [];
  readonly #engine: Engine;
  readonly #random: number;
  readonly #grants = new Map<string, Grant>();
  readonly #handedOut = new Map<string, Token>();
  #flights: Flight[] = [];
  #calls: Call[] = [];
  #era: Era;
  #last: Era;
  /** An operator's request is carried out at any time. */
  #hurry = false;

  constructor(engine: Engine, random: number) {
    this.#engine = engine;
    this.#random = random;
    this.#era = this.#begin({ a: 'a-1', b: 'b-1' }, undefined);
    this.#last = this.#era;
  }

  get pending(): number {
    return this.#flights.length;
  }

  /** A caller needs a token, or a request of the previous configuration does. */
  ask(key: TokenKey, era: 'current' | 'last' = 'current'): void {
    const asked = era === 'current' ? this.#era : this.#last;
    const kept = this.#keptGrant(asked, key);
    const given = this.#call(asked, key, () => asked.engine.get(key));
    // Half of its lifetime is usable whatever the margins are.
    const usable = kept !== undefined && elapsedSince(kept.startedAt, this.clock.now()) < kept.lifetimeMs / 2;
    if (usable && given !== 'token') this.violations.push(`withheld: a good token of ${idOf(key)}`);
  }

  /** An upstream refuses the last token handed out for this key. */
  refuse(key: TokenKey): void {
    const stale = this.#handedOut.get(idOf(key));
    if (!stale) return;
    this.#era.kept.delete(idOf(key));
    this.#era.refused.add(idOf(key));
    this.#call(this.#era, key, () => this.#era.engine.renew(key, stale));
  }

  /** An operator requests a new token now. */
  refresh(key: TokenKey): void {
    this.#era.kept.delete(idOf(key));
    this.#hurry = true;
    // Ends with the fetch, not with a time limit: the operator sees its result.
    this.#watch(this.#era, key, this.#era.engine.refresh(key));
    this.#hurry = false;
  }

  /** The server responds to one of its open requests. */
  async answer(index: number, reply: Reply): Promise<void> {
    const [flight] = this.#flights.splice(index % Math.max(1, this.#flights.length), 1);
    flight?.land(reply.kind === 'token' ? this.#grant(flight, reply.lifetimeS) : reply);
    await this.settle();
  }

  /** A new secret of the same client, or another client under the same name. */
  reload(credential: 'a' | 'b', change: 'secret' | 'client'): void {
    const { clients, number } = this.#era;
    const client = change === 'client' ? `${credential}-${number + 1}` : (clients[credential] ?? '');
    this.#last = this.#era;
    this.#era = this.#begin({ ...clients, [credential]: client }, this.#last);
    this.#last.engine.close();
  }

  async settle(): Promise<void> {
    await this.clock.advance(0);
    const { monotonicMs } = this.clock.now();
    const late = this.#calls.filter(({ settled, startedAtMs }) => !settled && monotonicMs - startedAtMs >= WAIT_MS);
    if (late.length > 0) this.violations.push('unsettled: a caller past its deadline');
    this.#calls = this.#calls.filter(({ settled }) => !settled);
  }

  /** Everything has a response now; anything left is an error. */
  async finish(): Promise<void> {
    for (let waitedMs = 0; waitedMs <= WAIT_MS || this.pending > 0; waitedMs += MIN_SPACING_MS) {
      while (this.pending > 0) await this.answer(0, { kind: 'token', lifetimeS: 3600 });
      // Some fetches may have been waiting for their turn, and callers for the next try.
      if (waitedMs > 0 && this.#calls.length === 0) break;
      await this.clock.advance(MIN_SPACING_MS);
      await this.settle();
    }
    const { timers } = this.clock;
    if (timers > this.#era.askedAt.size) this.violations.push(`left over: ${timers} timers`);
    if (this.#calls.length > 0) this.violations.push('unsettled: a caller whose flight has ended');
    this.#era.engine.close();
    if (this.clock.timers > 0) this.violations.push('left over: timers of a closed engine');
  }

  #begin(clients: Facts['clients'], before: Era | undefined): Era {
    const inherits = (credential: string) => before?.clients[credential] === clients[credential];
    const kept = [...(before?.kept ?? [])].filter(([id]) => inherits((JSON.parse(id) as string[])[0] ?? ''));
    const number = (before?.number ?? 0) + 1;
    const facts: Facts = { number, clients, kept: new Map(kept), landed: new Set(), askedAt: new Map(), ...pace() };
    const engine = this.#engine({
      fetchToken: (key) => this.#fetch(facts, key),
      clock: this.clock,
      waitMs: WAIT_MS,
      random: () => this.#random,
      previous: before?.engine,
      inherits: (key) => inherits(key.credential),
    });
    return { ...facts, engine };
  }

  #fetch(era: Facts, key: TokenKey): Promise<TokenResponse> {
    const startedAt = this.clock.now();
    const id = idOf(key);
    const sinceMs = startedAt.monotonicMs - (era.askedAt.get(id) ?? Number.NEGATIVE_INFINITY);
    const creditMs = Math.min(2 * MIN_SPACING_MS, (era.credit.get(id) ?? 0) + sinceMs);
    const inTime = era.refused.delete(id) ? creditMs >= MIN_SPACING_MS : sinceMs >= MIN_SPACING_MS;
    if (!this.#hurry && !inTime) this.violations.push(`hurried: asked again after ${sinceMs} ms`);
    era.askedAt.set(id, startedAt.monotonicMs);
    // An operator's request does not use up what upstreams may cause.
    era.credit.set(id, this.#hurry ? MIN_SPACING_MS : Math.max(0, creditMs - MIN_SPACING_MS));
    if (this.#flights.some((flight) => flight.era === era && idOf(flight.key) === id)) {
      this.violations.push(`two flights for ${id}`);
    }
    return new Promise((land) => this.#flights.push({ key, era, startedAt, land }));
  }

  #grant({ key, era, startedAt }: Flight, lifetimeS: number): TokenResponse {
    const id = idOf(key);
    const value = `Bearer ${this.#grants.size + 1}`;
    const client = era.clients[key.credential] ?? '';
    const lifetimeMs = lifetimeS * 1000;
    this.#grants.set(value, { id, client, era: era.number, startedAt, lifetimeMs });
    const age = elapsedSince(startedAt, this.clock.now());
    // Between half and all of its lifetime, the source may or may not use the token.
    if (age < lifetimeMs) era.kept.delete(id);
    if (age < lifetimeMs / 2) {
      era.kept.set(id, value);
      era.landed.add(id);
    }
    return { kind: 'token', authorization: new Secret(value), lifetimeS, assumedLifetime: false };
  }

  #keptGrant(era: Era, key: TokenKey): Grant | undefined {
    return this.#grants.get(era.kept.get(idOf(key)) ?? '');
  }

  /** Records a result that came at once; later ones are checked when they come. */
  #call(era: Era, key: TokenKey, get: () => Token | Promise<Token> | undefined): 'token' | 'promise' | 'nothing' {
    try {
      const given = get();
      if (given === undefined) return 'nothing';
      if (!(given instanceof Promise)) {
        this.#judge(era, key, given);
        return 'token';
      }
      const call: Call = { startedAtMs: this.clock.now().monotonicMs, settled: false };
      this.#calls.push(call);
      this.#watch(era, key, given, call);
      return 'promise';
    } catch {
      // Failing at once is a result, too.
      return 'nothing';
    }
  }

  #watch(era: Era, key: TokenKey, promise: Promise<Token>, call?: Call): void {
    const done = () => {
      if (call) call.settled = true;
    };
    promise.then((token) => this.#judge(era, key, token), done).then(done, done);
  }

  #judge(era: Era, key: TokenKey, token: Token): void {
    const grant = this.#grants.get(token.authorization.reveal());
    const id = idOf(key);
    if (era === this.#era) this.#handedOut.set(id, token);
    if (!grant) return void this.violations.push('foreign: a token nobody issued');
    if (grant.id !== id) this.violations.push(`foreign: the token of ${grant.id} for ${id}`);
    if (grant.client !== era.clients[key.credential])
      this.violations.push(`foreign: a token of client ${grant.client}`);
    if (grant.era < era.number && era.landed.has(id)) this.violations.push(`foreign: an old secret's token for ${id}`);
    if (elapsedSince(grant.startedAt, this.clock.now()) >= grant.lifetimeMs) this.violations.push(`expired: of ${id}`);
  }
}

function pace(): Pick<Facts, 'credit' | 'refused'> {
  return { credit: new Map(), refused: new Set() };
}
