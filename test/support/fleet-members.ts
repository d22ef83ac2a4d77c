/** Members of a fleet in one process: token sources over a model of the store, a token endpoint that counts, a clock that stands. */
import { randomBytes } from 'node:crypto';
import type { Clock, Instant } from '../../src/core/clock.ts';
import { Secret } from '../../src/core/secret.ts';
import { FleetMemory } from '../../src/fleet/memory.ts';
import type { ScriptName } from '../../src/fleet/scripts.ts';
import { createSealer, type Sealer } from '../../src/fleet/seal.ts';
import { SharedToken } from '../../src/fleet/shared-token.ts';
import type { Replaced } from '../../src/oauth/token.ts';
import type { TokenResponse } from '../../src/oauth/token-response.ts';
import { TokenSource } from '../../src/oauth/token-source.ts';
import { ScriptModel } from './fleet-script-model.ts';
import { NaiveSharedToken } from './naive-shared-token.ts';
import { chance } from './seeded.ts';

export type Kind = 'shared' | 'naive';

/** What one member has and how it is; by its number. */
export interface MemberSettings {
  readonly keys?: readonly Secret[];
  readonly secret?: string;
  readonly scope?: string;
  readonly prefix?: string;
  readonly state?: Partial<State>;
  /** That of the member whose place this one takes in its process. */
  readonly memory?: FleetMemory;
}

/** How a member is; may change at any time. */
interface State {
  /** `down`: not asked. Number: each command is given up, and runs so many ms later. */
  store: 'up' | 'down' | number;
  /** Whether it hears of news. */
  hears: boolean;
  /** What its token requests do; a number = they take so many ms. */
  network: 'up' | 'down' | 'dead' | number;
  /** Shift of its wall clock, ms. */
  shiftMs: number;
}

export interface Member extends State {
  readonly source: TokenSource;
  readonly shared: SharedToken | NaiveSharedToken;
  readonly got: Record<'fetched' | 'shared', number>;
  readonly rejected: string[];
}

export const ATTEMPT_MS = 5000;
export const LIFETIME_S = 3600;
export const RIGHT_SECRET = 'planted-secret';

export const newKey = () => new Secret(randomBytes(32).toString('base64url'));

/** A clock for all, which moves when everything that was started has ended. */
class FleetClock {
  #wallMs = Date.UTC(2026, 0, 1);
  #monotonicMs = 1000;
  #pending = 0;
  readonly #timers = new Set<{ readonly at: number; readonly run: () => void }>();

  now(shiftMs = 0): Instant {
    return { wallMs: this.#wallMs + shiftMs, monotonicMs: this.#monotonicMs };
  }

  startTimer(delayMs: number, run: () => void): () => void {
    const timer = { at: this.#monotonicMs + delayMs, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  async track<T>(work: Promise<T>): Promise<T> {
    this.#pending += 1;
    return await work.finally(() => {
      this.#pending -= 1;
    });
  }

  async advance(ms: number): Promise<void> {
    const end = this.#monotonicMs + ms;
    for (;;) {
      await this.settle();
      let next: { readonly at: number; readonly run: () => void } | undefined;
      for (const timer of this.#timers) if (timer.at <= end && (!next || timer.at < next.at)) next = timer;
      if (!next) break;
      this.#move(Math.max(0, next.at - this.#monotonicMs));
      this.#timers.delete(next);
      next.run();
    }
    this.#move(end - this.#monotonicMs);
  }

  /** The machine sleeps: timers and the monotonic clock stand. */
  sleep(ms: number): void {
    this.#wallMs += ms;
  }

  async settle(): Promise<void> {
    do await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#pending > 0);
  }

  #move(ms: number): void {
    this.#wallMs += ms;
    this.#monotonicMs += ms;
  }
}

interface Issued {
  readonly until: number;
  isRevoked: boolean;
}

export class FleetWorld {
  readonly kind: Kind;
  readonly clock = new FleetClock();
  readonly random = chance(7, 'fleet').next;
  readonly model: ScriptModel;
  readonly members: Member[] = [];
  /** Monotonic times of the token requests. */
  readonly requests: number[] = [];
  readonly issued = new Map<string, Issued>();
  readonly key = newKey();
  /** `down`: responds with an error at once. */
  endpoint: 'up' | 'down' = 'up';
  endpointMs = 50;
  lifetimeS = LIFETIME_S;
  commands = 0;
  #claims = 0;
  readonly #opened = new Map<string, ReturnType<Sealer['open']>>();

  constructor(kind: Kind = 'shared') {
    this.kind = kind;
    const news = (name: string) => {
      for (const { shared, hears } of this.members) if (hears && shared.name === name) shared.onNews();
    };
    this.model = new ScriptModel(
      () => Math.floor(this.clock.now().wallMs),
      (name) => queueMicrotask(() => news(name)),
    );
  }

  /** Starts members; their sources fetch at once. */
  start(count: number, settings: (index: number) => MemberSettings = () => ({})): Member[] {
    return Array.from({ length: count }, (_, index) => this.#start(settings(index)));
  }

  /** Starts members, and waits until they have their tokens. */
  async startWarm(count: number, settings: (index: number) => MemberSettings = () => ({})): Promise<Member[]> {
    const members = this.start(count, settings);
    await this.clock.advance(ATTEMPT_MS);
    return members;
  }

  advance(ms: number): Promise<void> {
    return this.clock.advance(ms);
  }

  /** The one key of this kind in the store. */
  place(what: 'token' | 'lock' | 'generation', member = this.members[0]): string {
    return `aritma:{${member?.shared.name}}:${what}`;
  }

  /** Texts of the tokens that the members would send now; undefined = none. */
  tokens(members: readonly Member[] = this.members): (string | undefined)[] {
    return members.map(({ source }) => {
      const token = source.snapshot().state === 'expired' ? undefined : source.token;
      return token?.authorization.reveal();
    });
  }

  #start(settings: MemberSettings): Member {
    const { keys = [this.key], secret = RIGHT_SECRET, scope = 'planted-scope', prefix = 'aritma' } = settings;
    const state: State = { store: 'up', hears: true, network: 'up', shiftMs: 0, ...settings.state };
    const clock: Clock = {
      now: () => this.clock.now(state.shiftMs),
      startTimer: (ms, run) => this.clock.startTimer(ms, run),
    };
    const got = { fetched: 0, shared: 0 };
    const rejected: string[] = [];
    const { random } = this;
    const shared =
      this.kind === 'naive'
        ? new NaiveSharedToken(this.model, { prefix, name: scope }, clock)
        : new SharedToken({
            ...{ clock, random, prefix, secrets: () => [new Secret(secret).fingerprint()], host: undefined },
            ...{ channel: `${prefix}:news`, attemptMs: ATTEMPT_MS, timeoutMs: 250 },
            parts: ['https://planted-host/token', 'planted-client', scope],
            sealer: this.#sealer(keys),
            store: { run: (...command) => this.#run(state, command) },
            memory: settings.memory ?? new FleetMemory(),
            newHolder: () => this.#newHolder(),
            onToken: (source) => {
              got[source] += 1;
            },
            onRejected: (reason) => void rejected.push(reason),
          });
    const events = { lookup: () => undefined, obtained: () => undefined, failed: () => undefined };
    const own = () => this.#request(state, secret);
    const source = new TokenSource(
      { credential: 'default', scope, audience: undefined, resource: undefined },
      {
        fetchToken: (untilAwaited, replaced?: Replaced) => shared.fetch(own, untilAwaited, replaced),
        onRefused: ({ authorization }) => shared.refuse(authorization),
        ...{ events, clock, random, refreshBeforeMs: 300_000, waitMs: 10_000 },
      },
    );
    const member: Member = Object.assign(state, { source, shared, got, rejected });
    shared.subscribe((newer) => source.take(newer));
    this.members.push(member);
    return member;
  }

  #newHolder(): string {
    this.#claims += 1;
    return `member:${this.#claims}`;
  }

  async #run(member: State, command: [ScriptName, readonly string[], readonly string[]]) {
    if (member.network === 'dead' || member.store === 'down') return undefined;
    this.commands += 1;
    if (member.store === 'up') return this.model.run(...command);
    this.clock.startTimer(member.store, () => this.model.run(...command));
    return undefined;
  }

  async #request(member: State, secret: string): Promise<TokenResponse> {
    this.requests.push(this.clock.now().monotonicMs);
    const { network } = member;
    if (network === 'down' || this.endpoint === 'down') return { kind: 'unavailable', result: 'refused' };
    const ms = typeof network === 'number' ? network : this.endpointMs;
    const issuedAt = this.clock.now().wallMs;
    await new Promise<void>((resolve) => void this.clock.startTimer(ms, resolve));
    if (member.network === 'dead') return new Promise(() => undefined);
    if (secret !== RIGHT_SECRET) return { kind: 'rejected', result: 'invalid_client' };
    const token = `Bearer planted-token-${this.issued.size + 1}`;
    this.issued.set(token, { until: issuedAt + this.lifetimeS * 1000, isRevoked: false });
    return { kind: 'token', authorization: new Secret(token), lifetimeS: this.lifetimeS, assumedLifetime: false };
  }

  /** What takes time outside of the clock must end before it moves. Equal values are opened once: they are many. */
  #sealer(keys: readonly Secret[]): Sealer {
    const sealer = createSealer(keys);
    const id = keys.map((key) => key.fingerprint()).join();
    return {
      ...sealer,
      seal: (...sealing) => this.clock.track(sealer.seal(...sealing)),
      open: (place, sealed) => {
        const known = JSON.stringify([id, place, sealed.length < 40_000 ? sealed : sealed.length]);
        const opened = this.#opened.get(known) ?? sealer.open(place, sealed);
        this.#opened.set(known, opened);
        return this.clock.track(opened);
      },
    };
  }
}
