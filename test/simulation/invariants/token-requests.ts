/** How often the sidecar asks the identity server. */
import { type Stamp, stampOf } from '../platform/network.ts';
import type { SimulatedProcess } from '../platform/process.ts';
import type { Observation, TokenRequest } from '../world/observation.ts';
import type { World } from '../world/world.ts';
import type { Invariant } from './invariants.ts';
import { isLogged } from './logged.ts';
import { knownAgeMs, OLD_GENERATION_MS, TOLERANCE_MS } from './tokens.ts';

const INTERVAL_MS = 1000;
const LONGEST_RETRY_AFTER_MS = 300_000;
/** Timers have whole milliseconds. */
const ROUNDING_MS = 10;

/** Of one process. */
class Asking {
  requests: TokenRequest[] = [];
  readonly #reloads: number[] = [];
  /** A 401 since the last request. */
  isRefused = false;
  /** It has a token since: in a fleet, of another member, so the server works again. */
  hasToken = false;

  #reloadedAt = Number.NEGATIVE_INFINITY;

  /** Callers wait for as long as the machine is awake. */
  reloaded({ trueMs, monotonicMs }: Stamp): void {
    this.#reloadedAt = trueMs;
    this.#reloads.push(monotonicMs);
  }

  /** @param called of the call: one from before a reload may wait for a new token of its own generation */
  refused(called: Stamp, { monotonicMs }: Stamp): void {
    this.isRefused = true;
    if (called.trueMs < this.#reloadedAt) this.#reloads.push(monotonicMs);
  }

  /** How many generations may ask besides the current one. */
  oldGenerations(at: number): number {
    return this.#reloads.filter((reload) => at - reload <= OLD_GENERATION_MS).length;
  }
}

function watchAsking({ platform }: World, onRequest: (request: TokenRequest, asking: Asking) => void) {
  const known = new Map<SimulatedProcess, Asking>();
  const of = (process: SimulatedProcess): Asking => {
    const asking = known.get(process) ?? new Asking();
    known.set(process, asking);
    return asking;
  };
  return (observation: Observation) => {
    if (isLogged(observation, 'reloaded'))
      of(observation.process).reloaded(stampOf(platform.time, observation.process));
    if (isLogged(observation, 'obtained')) of(observation.process).hasToken = true;
    if (observation.kind === 'tokenRefused') {
      const { from, called } = observation.request;
      if (from) of(from).refused(called, stampOf(platform.time, from));
    }
    if (observation.kind !== 'tokenRequest') return;
    const asking = of(observation.request.from);
    onRequest(observation.request, asking);
    asking.requests.push(observation.request);
    asking.isRefused = false;
    asking.hasToken = false;
  };
}

export const oneTokenRequest: Invariant = {
  sentence:
    'A process has at most one token request under way for a key. Excused: one more for each reload of the last fifteen seconds awake, whose old generation still has waiting callers, and for each refusal of a call of such a generation.',
  watch: (world, violated) =>
    watchAsking(world, ({ from, sent, endedAt }, asking) => {
      asking.requests = asking.requests.filter(
        (request) => request.endedAt() > sent.trueMs || request === asking.requests.at(-1),
      );
      // One that was long on its way may be over before others, which have arrived sooner, were sent.
      const isBeside = (other: TokenRequest) => other.endedAt() > sent.trueMs && other.sent.trueMs < endedAt();
      const underWay = asking.requests.filter(isBeside).length;
      if (underWay > asking.oldGenerations(sent.monotonicMs)) violated(`${from.name} sent one beside ${underWay}`);
    }),
};

export const isAskedSeldom: Invariant = {
  sentence:
    'Token requests start a second apart, and not before Retry-After. Excused: the next secret, one after a 401 of the API, and those within fifteen seconds, awake, of a reload. A token that another member of a fleet got ends the wait.',
  watch: (world, violated) =>
    watchAsking(world, ({ from, sent }, asking) => {
      const last = asking.requests.at(-1);
      if (!last || asking.isRefused || asking.oldGenerations(sent.monotonicMs) > 0) return;
      // Then the last one may have been an old generation's, which has told this one nothing.
      const candidates = asking.requests.slice(-1 - asking.oldGenerations(last.sent.monotonicMs));
      const least = (one: TokenRequest) => (asking.hasToken ? INTERVAL_MS : leastAfter(one));
      // Before it is sent, a member asks its store, and the issuer's document may be asked for.
      const begun = (one: TokenRequest) => (one.isPrompt && !world.fleet && !world.issuer ? ROUNDING_MS : TOLERANCE_MS);
      const isTooSoon = (one: TokenRequest) => knownAgeMs(one.sent, sent) < least(one) - begun(one);
      if (candidates.every(isTooSoon))
        violated(`${from.name} asked again after ${Math.round(knownAgeMs(last.sent, sent))} ms`);
    }),
};

export const renewsSeldom: Invariant = {
  sentence:
    'Of three token requests in a row, the last one starts a second after the first one or later, however many calls the API refuses. Excused: those within fifteen seconds, awake, of a reload.',
  watch: (world, violated) =>
    watchAsking(world, ({ from, sent }, asking) => {
      const [before, first, second] = asking.requests.slice(-3);
      if (!before || !first || !second || asking.oldGenerations(sent.monotonicMs) > 0) return;
      // Within one try, the next secret is asked with at once.
      if ([before, first, second].some(({ outcome }) => outcome === 'invalid_client')) return;
      // It may have waited for its connection, but not since before the one before it was over.
      const begunAt = Math.min(first.sent.trueMs, Math.max(first.sent.trueMs - TOLERANCE_MS, before.endedAt()));
      const leaptMs = knownAgeMs(first.sent, sent) - (sent.trueMs - first.sent.trueMs);
      const apartMs = sent.trueMs - begunAt + leaptMs;
      if (apartMs < INTERVAL_MS - ROUNDING_MS) violated(`${from.name} sent three within ${Math.round(apartMs)} ms`);
    }),
};

function leastAfter({ outcome, retryAfterS }: TokenRequest): number {
  // The next secret is tried at once.
  if (outcome === 'invalid_client') return 0;
  return Math.max(INTERVAL_MS, Math.min(retryAfterS * 1000, LONGEST_RETRY_AFTER_MS));
}
