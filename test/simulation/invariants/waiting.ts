/** What a call may expect while there is no token, and when its token is refused. */
import { type Stamp, stampOf } from '../platform/network.ts';
import type { SimulatedProcess } from '../platform/process.ts';
import type { TokenRequest, UpstreamRequest } from '../world/observation.ts';
import type { Invariant } from './invariants.ts';
import { isLogged } from './logged.ts';
import { askedOf, knownAgeMs, MARGIN_MS } from './tokens.ts';

/** Default of `token.waitTimeout`. */
const WAIT_MS = 10_000;
/** The caller learns of it a moment later. */
const SLACK_MS = 1000;

export const waitsForRetry: Invariant = {
  sentence:
    'A call waits for every try of its credential that starts within ten seconds. Excused: one whose body is too large to be kept, when its token has ended while it waited for a connection.',
  watch: (world, violated) => (observation) => {
    if (observation.kind !== 'told' || observation.told.code !== 'TOKEN_UNAVAILABLE') return;
    const { id, attempt, sidecar, retryAfterS = Number.POSITIVE_INFINITY } = observation.told;
    const called = world.calledAt(id, String(attempt));
    const isLarge = world.erps.some((erp) => erp.isLarge(id));
    if (!called || !sidecar || isLarge) return;
    const waitedMs = stampOf(world.platform.time, sidecar).monotonicMs - called.monotonicMs;
    if (waitedMs + retryAfterS * 1000 < WAIT_MS - SLACK_MS)
      violated(`payment ${id} failed after ${Math.round(waitedMs)} ms, and the next try is in ${retryAfterS} s`);
  },
};

export const waitsForTry: Invariant = {
  sentence:
    'While calls wait, tries come so often that each call sees one fail before it gets TOKEN_UNAVAILABLE. Excused: where secrets rotate, whose own token requests look the same; when the server has asked for patience (Retry-After); a call from before a reload; one whose body is too large to be kept.',
  watch(world, violated) {
    const reloadedAt = new Map<SimulatedProcess, number>();
    const failedAt = new Map<SimulatedProcess, number>();
    const last = new Map<SimulatedProcess, TokenRequest>();
    return (observation) => {
      if (observation.kind === 'tokenRequest') last.set(observation.request.from, observation.request);
      if (isLogged(observation, 'reloaded')) reloadedAt.set(observation.process, world.platform.time.nowMs);
      if (observation.kind === 'log' && observation.line['retryInS'] !== undefined)
        failedAt.set(observation.process, world.platform.time.nowMs);
      if (observation.kind !== 'told' || observation.told.code !== 'TOKEN_UNAVAILABLE') return;
      const { id, attempt, sidecar } = observation.told;
      const called = world.calledAt(id, String(attempt));
      const isLarge = world.erps.some((erp) => erp.isLarge(id));
      // Where secrets rotate, the last token request may be that of a rotation.
      if (world.iam || !called || !sidecar || isLarge || (last.get(sidecar)?.retryAfterS ?? 0) > 0) return;
      // What the server has asked of its generation, later ones do not know.
      if (called.trueMs < (reloadedAt.get(sidecar) ?? 0)) return;
      // One that waits for its whole time may have a try still under way.
      const waitedMs = world.platform.time.nowMs - called.trueMs;
      if (waitedMs < WAIT_MS - SLACK_MS && (failedAt.get(sidecar) ?? 0) < called.trueMs)
        violated(`payment ${id} failed after ${Math.round(waitedMs)} ms without a try`);
    };
  },
};

/** A request of the pool may wait for this, and timers have whole milliseconds. */
const ROUNDING_MS = 10;

export const arrivesBeforeExpiry: Invariant = {
  sentence:
    'A token is sent only as long as it reaches the API before it expires, if the way takes less than 30 s or a twentieth of its lifetime. Excused: a machine whose clocks do not tell its age.',
  watch: (world, violated) => (observation) => {
    if (observation.kind !== 'upstreamRequest') return;
    const { id, token, called, sent, from } = observation.request;
    if (!token) return;
    const { nowMs } = world.platform.time;
    const isKnown = isAgeKnown(askedOf(token, from), sent);
    const onTheWayMs = nowMs - called.trueMs;
    const marginMs = Math.min(MARGIN_MS, token.lifetimeMs / 20);
    if (isKnown && onTheWayMs < marginMs - ROUNDING_MS && nowMs >= token.issuedAt + token.lifetimeMs)
      violated(`payment ${id} arrived with ${token.value}, which had expired, after ${Math.round(onTheWayMs)} ms`);
  },
};

export const leavesMargin: Invariant = {
  sentence:
    'No token is sent in the last twentieth of its lifetime, or in its last 30 s if that is less. Excused: a machine whose clocks do not tell its age.',
  watch: (world, violated) => (observation) => {
    if (observation.kind !== 'upstreamRequest') return;
    const { id, token, sent, from } = observation.request;
    if (!token || !isAgeKnown(askedOf(token, from), sent)) return;
    const leftMs = token.issuedAt + token.lifetimeMs - sent.trueMs;
    // Of a JWT, with its whole seconds, up to one may have passed before it was issued.
    const lifetimeMs = token.lifetimeMs - (world.issuer ? 1000 : 0);
    if (leftMs < Math.min(MARGIN_MS, lifetimeMs / 20) - ROUNDING_MS)
      violated(`payment ${id} was sent with ${token.value}, ${Math.round(leftMs)} ms before it expires`);
  },
};

function isAgeKnown(asked: Stamp, now: Stamp): boolean {
  return now.trueMs - asked.trueMs - knownAgeMs(asked, now) < 1;
}

export const sentTwiceAtMost: Invariant = {
  sentence:
    'The sidecar sends a call to the API at most twice. Excused: in a fleet, once more when the token of the second one was refused.',
  watch(world, violated) {
    const times = new Map<string, number>();
    const most = new Map<string, number>();
    const callOf = ({ id, attempt }: UpstreamRequest) => `${id} ${attempt}`;
    return (observation) => {
      if (observation.kind === 'tokenRefused' && world.fleet && times.get(callOf(observation.request)) === 2)
        most.set(callOf(observation.request), 3);
      if (observation.kind !== 'upstreamRequest') return;
      const call = callOf(observation.request);
      const count = (times.get(call) ?? 0) + 1;
      times.set(call, count);
      if (count > (most.get(call) ?? 2)) violated(`payment ${observation.request.id} was sent ${count} times`);
    };
  },
};

export const bodyIsWhole: Invariant = {
  sentence: 'What arrives at the API has the whole body that the caller sent.',
  watch: (_world, violated) => (observation) => {
    if (observation.kind === 'upstreamRequest' && !observation.request.isWhole)
      violated('a payment arrived without its body');
  },
};
