/** Which tokens the sidecar may send, and when it must have one. */
import { type Stamp, stampOf } from '../platform/network.ts';
import type { SimulatedProcess } from '../platform/process.ts';
import { FLEET_CLIENT } from '../world/fleet.ts';
import type { IssuedToken, UpstreamRequest } from '../world/observation.ts';
import type { Invariant } from './invariants.ts';
import { isLogged } from './logged.ts';

/** From the token to the wire a call may need time: docs/tokens.md has 30 s for it. */
export const MARGIN_MS = 30_000;

/** The age that the sidecar can know: by the clock of its machine that advanced more. */
export function knownAgeMs(asked: Stamp, now: Stamp): number {
  return Math.max(now.wallMs - asked.wallMs, now.monotonicMs - asked.monotonicMs);
}

/** From when a process counts the age of a token, which another member of its fleet may have fetched. */
export function askedOf({ to, asked, askedBy }: IssuedToken, from: SimulatedProcess | undefined): Stamp {
  return (from !== to && from && askedBy.get(from.machine)) || asked;
}

/** Callers of a generation that was replaced wait this long while their machine is awake, and then for one request. */
export const OLD_GENERATION_MS = 15_000;
/** Requests need time to leave: a connection may have been open for one and not for the other. */
export const TOLERANCE_MS = 5100;

/** Whether callers of the generation before `since`, a reload, may have asked. The monotonic clock stands while the machine sleeps. */
export function mayBeOfOldGeneration(asked: Stamp, since: Stamp | undefined): boolean {
  return since !== undefined && asked.monotonicMs < since.monotonicMs + OLD_GENERATION_MS;
}

export const tokenIsValid: Invariant = {
  sentence:
    'No request is sent to the API without a token that is valid then. Excused: a revoked one until the first 401 for it of a call that can be sent again; one that looks valid by both clocks of a machine whose wall clock was set back, or runs slow, while it slept; one that was refused while the call waited, awake, for at most 25 s for its connection; one that only a call from before the last reload has seen refused.',
  watch(world, violated) {
    // Each process learns it by itself.
    const refused = new Map<string, number>();
    const reloadedAt = new Map<string, number>();
    const use = ({ from, authorization }: UpstreamRequest) => `${from?.name} ${authorization}`;
    // The first request of each call: a refusal of the second one does not renew the token (docs/tokens.md).
    const firsts = new Map<string, UpstreamRequest>();
    /** From then on, a call waits for its second try. */
    const refusals = new Map<string, Stamp>();
    const callOf = ({ id, attempt }: UpstreamRequest) => `${id} ${attempt}`;
    const firstOf = (request: UpstreamRequest) => {
      const first = firsts.get(callOf(request)) ?? request;
      firsts.set(callOf(request), first);
      return first;
    };
    return (observation) => {
      // A new generation may have had the token, from the old one or from a fleet's store, before the old one learns of its refusal.
      if (isLogged(observation, 'reloaded')) reloadedAt.set(observation.process.name, world.platform.time.nowMs);
      if (observation.kind === 'tokenRefused') {
        const { request } = observation;
        // After that of one that cannot be sent again, others use the token until there is a new one.
        const canBeAgain = !world.erps.some((erp) => erp.isLarge(request.id));
        const isOfNewest = request.called.trueMs >= (reloadedAt.get(request.from?.name ?? '') ?? 0);
        const isNews =
          request.token && isOfNewest && canBeAgain && firstOf(request) === request && !refused.has(use(request));
        if (request.from) refusals.set(callOf(request), stampOf(world.platform.time, request.from));
        if (isNews) refused.set(use(request), world.platform.time.nowMs);
      } else if (observation.kind === 'upstreamRequest') {
        const { request } = observation;
        firstOf(request);
        const refusedAt = refused.get(use(request)) ?? Number.POSITIVE_INFINITY;
        const problem = problemOf(request, refusedAt);
        const excuse = problem && excuseFor(request, refusedAt, refusals.get(callOf(request)) ?? request.called);
        if (excuse) world.observe({ kind: 'excused', why: excuse });
        else if (problem) violated(`payment ${request.id} with ${request.authorization}: ${problem}`);
      }
    };
  },
};

/** Whose tokens calls may get: no other client of a rotation's or provisioning's. */
const CLIENTS: readonly string[] = ['erp', FLEET_CLIENT];

/** A refusal is noted where it is sent; until it arrives, others are sent. */
const ON_ITS_WAY_MS = 5;

function problemOf({ token, sent }: UpstreamRequest, refusedAt: number): string | undefined {
  if (!token || !CLIENTS.includes(token.client)) return 'not a token that was issued';
  if (refusedAt + ON_ITS_WAY_MS < sent.trueMs) return 'was refused before, and is sent again';
  const expiredMs = sent.trueMs - token.issuedAt - token.lifetimeMs;
  return expiredMs < 0 ? undefined : `expired ${Math.round(expiredMs)} ms before it was sent`;
}

/** Time to wait for a token, for a free connection and for a new one: 10 s, 10 s and 5 s. */
const LONGEST_WAIT_MS = 25_000;

/** @param since when it began to wait for the token and the connection that this request has */
function excuseFor({ from, token, sent }: UpstreamRequest, refusedAt: number, since: Stamp): string | undefined {
  if (!token) return undefined;
  const asked = askedOf(token, from);
  const knownMs = knownAgeMs(asked, sent);
  const hiddenMs = sent.trueMs - asked.trueMs - knownMs;
  const isRefused = refusedAt < sent.trueMs;
  // When its connection is there, the sidecar looks again at the life of the token, by its clocks.
  if (knownMs >= token.lifetimeMs) return undefined;
  if (!isRefused) return hiddenMs >= 1 ? 'expired by no clock of its machine' : undefined;
  const waitedMs = sent.monotonicMs - since.monotonicMs;
  return since.trueMs < refusedAt && waitedMs <= LONGEST_WAIT_MS ? 'refused while the call waited' : undefined;
}

export const changesRefused: Invariant = {
  sentence: 'A call whose token was refused is not sent again with the same one.',
  watch(_world, violated) {
    const refused = new Set<string>();
    const use = ({ id, attempt, authorization }: UpstreamRequest) => `${id} ${attempt} ${authorization}`;
    return (observation) => {
      if (observation.kind === 'tokenRefused') refused.add(use(observation.request));
      if (observation.kind !== 'upstreamRequest' || !refused.has(use(observation.request))) return;
      const { id, authorization } = observation.request;
      violated(`payment ${id} was sent again with ${authorization}`);
    };
  },
};

export const serves: Invariant = {
  sentence:
    "While the sidecar has a token that is valid by its clocks, and that no API has refused, no call fails for want of a token. Excused: a token whose request had begun before the machine slept; one that callers from before a reload have waited for; one of another scope than the configuration asks for; in a fleet, one whose place another member's has taken, and one from before the keys were changed.",
  watch(world, violated) {
    const refused = new Set<string>();
    const newest = new Map<SimulatedProcess, number>();
    const sent = new Map<SimulatedProcess, IssuedToken>();
    const asked = new Map<SimulatedProcess, string>();
    const reloads = new Map<SimulatedProcess, Stamp[]>();
    return (observation) => {
      if (isLogged(observation, 'reloaded'))
        reloads.set(observation.process, [
          ...(reloads.get(observation.process) ?? []),
          stampOf(world.platform.time, observation.process),
        ]);
      if (observation.kind === 'tokenRefused') refused.add(observation.request.authorization ?? '');
      if (observation.kind === 'tokenRequest') asked.set(observation.request.from, observation.request.scope);
      if (observation.kind === 'upstreamRequest') {
        const { from, token } = observation.request;
        if (from && token) newest.set(from, Math.max(newest.get(from) ?? 0, token.issuedAt));
        if (from && token) sent.set(from, token);
      }
      if (observation.kind !== 'told' || !/^(TOKEN_|CREDENTIALS_)/.test(observation.told.code ?? '')) return;
      const { sidecar, id, attempt, code } = observation.told;
      if (!sidecar) return;
      const now = stampOf(world.platform.time, sidecar);
      const latest = [...world.identity.tokens.values()].findLast(
        // Where secrets rotate, some tokens only verify secrets or are for IAM; some tokens of an issuer are refused.
        (token) =>
          token.to === sidecar && token.obtainedAt < now.trueMs && (token.isUsed || !(world.iam || world.issuer)),
      );
      if (!latest || refused.has(latest.value)) return;
      // The operator has had it ask for another scope.
      const host = world.hosts.find(({ process }) => process === sidecar);
      if (host && latest.scope !== world.scopes.wantedBy(host)) return;
      // The configuration asks for another scope by now.
      if (asked.has(sidecar) && latest.scope !== asked.get(sidecar)) return;
      // One that another member has fetched took its place.
      if (latest.issuedAt < (newest.get(sidecar) ?? 0)) return;
      // Or one that is hardly older, by its age from before its connection.
      const last = sent.get(sidecar);
      if (world.fleet && last && last !== latest && latest.issuedAt - last.issuedAt < ATTEMPT_MS) return;
      const mayBeOf = (reloaded: Stamp) =>
        latest.obtainedAt >= reloaded.trueMs && mayBeOfOldGeneration(latest.asked, reloaded);
      if (reloads.get(sidecar)?.some(mayBeOf)) return;
      // With another key, it takes over what the others have.
      const { keysChangedAt = Number.NEGATIVE_INFINITY } = world.fleet ?? {};
      const hasJoined = reloads.get(sidecar)?.some(({ trueMs }) => trueMs > latest.obtainedAt);
      if (hasJoined && keysChangedAt > latest.obtainedAt) return;
      // Its age counts from before its connection: the machine may have slept since then.
      if (latest.asked.trueMs - sidecar.machine.asleepUntil < ATTEMPT_MS) return;
      const usableForMs = latest.lifetimeMs - Math.min(MARGIN_MS, latest.lifetimeMs / 20) - SLACK_MS;
      // When it called, the clock may have been wrong.
      const called = world.calledAt(id, String(attempt)) ?? now;
      if (knownAgeMs(latest.asked, now) < usableForMs && knownAgeMs(latest.asked, called) < usableForMs)
        violated(`payment ${id} got ${code} while ${latest.value} was there`);
    };
  },
};

const ATTEMPT_MS = 5000;
/** The caller learns of it a moment later, and a call waits for at most ten seconds. */
const SLACK_MS = 1000;
