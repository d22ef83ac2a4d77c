/** What members of a fleet do together. */
import { type Stamp, stampOf } from '../platform/network.ts';
import type { SimulatedProcess } from '../platform/process.ts';
import { FLEET_CLIENT } from '../world/fleet.ts';
import type { IssuedToken, Observation, TokenRequest, UpstreamRequest } from '../world/observation.ts';
import { STORE_PASSWORD } from '../world/store.ts';
import type { World } from '../world/world.ts';
import type { Invariant } from './invariants.ts';
import { isLogged } from './logged.ts';
import { askedOf, knownAgeMs } from './tokens.ts';

/** A member connects after it has got the lock, or knows that it gets none: `token.attemptTimeout`, and the time of two commands. */
const LOCK_AGE_MS = 5500;
/** After a change of the key, the generation before may still have waiting callers. */
const KEY_CHANGE_MS = 15_000;

/** Since when each member sees the store as usable, true ms; absent: it does not. */
class Views {
  readonly #since = new Map<SimulatedProcess, number>();

  observe(observation: Observation, now: number): void {
    if (isLogged(observation, 'storeUsable')) this.#since.set(observation.process, now);
    if (isLogged(observation, 'storeUnusable')) this.#since.delete(observation.process);
  }

  /** Whether a member has seen it all the time since then. */
  sees(member: SimulatedProcess, since: number): boolean {
    return (this.#since.get(member) ?? Number.POSITIVE_INFINITY) <= since;
  }
}

/** Among the words of the store's scripts: who has the lock, or would have it. */
const HOLDER = { acquire: 5, end: 2 } as const;

/** Tells a request for which its member has the lock from one of callers whose generation has left the fleet with the old key. */
class Leavers {
  /** Locks without a token request yet, by their holder. */
  readonly #locks = new Map<string, { readonly by: SimulatedProcess; readonly at: number }>();
  readonly #leftAt = new Map<SimulatedProcess, number>();

  observe(world: World, observation: Observation): void {
    const { nowMs } = world.platform.time;
    if (isLogged(observation, 'reloaded') && isKeyChange(world)) this.#leftAt.set(observation.process, nowMs);
    if (observation.kind !== 'stored' || !observation.by) return;
    const { script, by, words, reply } = observation;
    if (script === 'acquire' && (reply as unknown[])[0] === 'claimed')
      this.#locks.set(words[HOLDER.acquire] ?? '', { by, at: nowMs });
    if (script === 'put' || script === 'giveUp') this.#locks.delete(words[HOLDER.end] ?? '');
  }

  /** Call it once for each request. */
  isAlone({ from, sent }: TokenRequest): boolean {
    const lock = [...this.#locks].find(([, { by, at }]) => by === from && at >= sent.trueMs - LOCK_AGE_MS);
    if (lock) this.#locks.delete(lock[0]);
    return !lock && sent.trueMs - (this.#leftAt.get(from) ?? Number.NEGATIVE_INFINITY) < KEY_CHANGE_MS;
  }
}

/** Members may have different first keys, or had them a moment ago. */
function isKeyChange({ fleet, platform }: World): boolean {
  return fleet !== undefined && (fleet.isKeyChanging || platform.time.nowMs - fleet.keysChangedAt < KEY_CHANGE_MS);
}

/**
 * A member counts the age of its own token from before the connection for its request, which may have been lost three times;
 * that of another's by the store's countdown.
 */
const SAME_MS = 5100;

interface Sent {
  readonly request: TokenRequest;
  /** Whether its sender saw the store then. */
  readonly wasShared: boolean;
  /** Its generation has left the fleet. */
  readonly isAlone: boolean;
}

export const asksOnce: Invariant = {
  sentence:
    'All members together have at most one token request for the same token under way. Excused: members that do not see the store; a lock that the store has lost; a member whose machine slept with the lock, or whose clock was set forward; two while the key is changed, or one member has another key or other names, and one of each member for callers from before the reload with the new key, whose generation has left the fleet.',
  watch(world, violated) {
    const views = new Views();
    const leavers = new Leavers();
    let all: Sent[] = [];
    return (observation) => {
      const { nowMs } = world.platform.time;
      views.observe(observation, nowMs);
      leavers.observe(world, observation);
      if (observation.kind !== 'tokenRequest' || !world.fleet) return;
      const { request } = observation;
      // What a member that was cut off has given up may still arrive when it is not any more.
      if (request.endedAt() <= nowMs) return;
      all = all.filter((one) => one.request.endedAt() > nowMs);
      const hasOneAlone = all.some((one) => one.isAlone && one.request.from === request.from);
      const isAlone = leavers.isAlone(request) && !hasOneAlone;
      const others = all.filter(
        (one) => one.request.from !== request.from && isSame(one.request, request) && one.wasShared && !one.isAlone,
      );
      const beside = others.filter(
        (one) =>
          views.sees(request.from, Math.min(one.request.sent.trueMs, nowMs - LOCK_AGE_MS)) &&
          !excuse(world, one.request, request),
      );
      all.push({ request, wasShared: views.sees(request.from, nowMs - LOCK_AGE_MS), isAlone });
      const most = isKeyChange(world) ? 1 : 0;
      if (isAlone && beside.length > most) world.observe({ kind: 'excused', why: 'left the fleet with the old key' });
      else if (beside.length > most)
        violated(`${request.from.name} sent one beside ${beside.map((one) => one.request.from.name)}`);
    };
  },
};

/** Another scope is another token. */
function isSame(one: TokenRequest, other: TokenRequest): boolean {
  return one.scope === other.scope;
}

/** Why two members may both ask. */
function excuse(world: World, earlier: TokenRequest, later: TokenRequest): boolean {
  const lockedAt = earlier.sent.trueMs - LOCK_AGE_MS;
  const hasSlept = [earlier, later].some(
    ({ from }) => Math.max(from.machine.asleepUntil, from.machine.leaptAt) > lockedAt,
  );
  const { lost = undefined } = world.fleet?.store ?? {};
  return hasSlept || (lost !== undefined && lost.at >= lockedAt);
}

export const keepsNewer: Invariant = {
  sentence:
    'A member that has sent a call with a token sends no later call with one that was issued five seconds or more before, while the newer one is good. Excused: one that it finds after its key was changed, because the others have it; calls from before a reload, which have tokens of their own; one that is in use by all, after a sleep with the lock; one that was the younger one by a clock that was set forward, when it took it over.',
  watch(world, violated) {
    const newest = new Map<SimulatedProcess, UpstreamRequest>();
    const reloaded = new Map<SimulatedProcess, number>();
    const joined = new Map<SimulatedProcess, number>();
    const took = new Map<SimulatedProcess, Stamp>();
    return (observation) => {
      const { keysChangedAt = Number.NEGATIVE_INFINITY } = world.fleet ?? {};
      const { nowMs } = world.platform.time;
      const isReload = isLogged(observation, 'reloaded');
      if (isReload) reloaded.set(observation.process, nowMs);
      if (isReload && nowMs - keysChangedAt < KEY_CHANGE_MS) joined.set(observation.process, nowMs);
      if (isLogged(observation, 'obtained')) {
        const { process } = observation;
        took.set(process, stampOf(world.platform.time, process));
        // Until then it uses its own.
        if (nowMs - (joined.get(process) ?? Number.NEGATIVE_INFINITY) < KEY_CHANGE_MS) joined.set(process, nowMs);
      }
      if (observation.kind !== 'upstreamRequest' || !world.fleet) return;
      const { request } = observation;
      const { from, token, called } = request;
      if (!from || !token) return;
      const before = newest.get(from);
      const joinedAt = joined.get(from) ?? 0;
      if (called.trueMs < (reloaded.get(from) ?? 0)) return;
      if (before?.token && before.token.scope !== token.scope) {
        newest.set(from, request);
        return;
      }
      const hasJoined = before && Math.max(keysChangedAt, joinedAt) > before.sent.trueMs;
      const hasSlept = before?.token && from.machine.asleepUntil > before.token.asked.trueMs - LOCK_AGE_MS;
      const isSameAge = !before?.token || before.token.issuedAt < token.issuedAt + SAME_MS;
      if (isSameAge || hasJoined || hasSlept || looksOlder(before, token, took.get(from))) newest.set(from, request);
      else if (isGood(before, called.trueMs))
        violated(`${from.name} sent ${token.value} for ${request.id} after ${before.token.value}`);
    };
  },
};

/** The age of its own token is by the clocks of its machine, that of another's by the store's countdown. */
function looksOlder({ from, token, sent }: UpstreamRequest, other: IssuedToken, took: Stamp | undefined): boolean {
  if (!token || !took || took.trueMs < sent.trueMs) return false;
  return knownAgeMs(askedOf(token, from), took) > took.trueMs - other.issuedAt - SAME_MS;
}

function isGood({ token, sent }: UpstreamRequest, at: number): boolean {
  return (
    token !== undefined && sent.trueMs < at && at < Math.min(token.revokedAt, token.issuedAt + token.lifetimeMs * 0.9)
  );
}

export const sharesAgain: Invariant = {
  sentence:
    'Five and a half minutes after the last fault, tokens that are revoked cost all members together one token request.',
  watch(_world, violated) {
    let asked: TokenRequest[] | undefined;
    return (observation) => {
      if (observation.kind === 'sharing') asked = [];
      else if (observation.kind === 'tokenRequest') asked?.push(observation.request);
      else if (observation.kind === 'told' && asked && asked.length > 1)
        violated(`${asked.length} token requests, by ${asked.map(({ from }) => from.name)}`);
    };
  },
};

export const storeKnowsNothing: Invariant = {
  sentence: 'Nothing in the store shows a token, a client secret, a client id, a password or a name of a host.',
  watch: (world, violated) => (observation) => {
    if (observation.kind !== 'stored') return;
    const known = [FLEET_CLIENT, STORE_PASSWORD, ...world.identity.secrets.keys(), ...world.identity.tokens.keys()];
    const rotated = world.iam?.server.secrets.map(({ value }) => value) ?? [];
    const names = world.hosts.map(({ machine }) => machine.hostname);
    const text = observation.words.flatMap((word) => [word, ...openParts(word)]).join(' ');
    const shown = [...known, ...rotated, ...names].find((secret) => text.includes(secret));
    if (shown) violated(`${observation.script} shows ${shown}`);
  },
};

/** What base64url hides from nobody: the header of a sealed value. */
function openParts(word: string): string[] {
  return word.split(/[:.]/).map((part) => Buffer.from(part, 'base64url').toString('latin1'));
}
