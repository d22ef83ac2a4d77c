/** Whether a token request was needed, and how fast it comes after those that failed. */
import { type Stamp, stampOf } from '../platform/network.ts';
import type { SimulatedProcess } from '../platform/process.ts';
import type { IssuedToken, TokenRequest } from '../world/observation.ts';
import type { World } from '../world/world.ts';
import type { Invariant } from './invariants.ts';
import { isLogged } from './logged.ts';
import { knownAgeMs, mayBeOfOldGeneration, TOLERANCE_MS } from './tokens.ts';

/** Default of `token.refreshBefore`. */
const REFRESH_BEFORE_MS = 300_000;

/** When a token is due, by its age, without the jitter. */
function renewalMs(lifetimeMs: number): number {
  return Math.min(Math.max(lifetimeMs / 2, lifetimeMs - REFRESH_BEFORE_MS), lifetimeMs * 0.95);
}

/** From the response to the log line. */
const TAKEN_MS = 50;
/** The one in the file, and two that a reload keeps beside the one that worked. */
const MOST_HELD = 3;

/** What a process knows that bears on its token requests. */
class Knowledge {
  reloaded: Stamp | undefined;
  /** The one in use. */
  token: IssuedToken | undefined;
  readonly refused = new Set<IssuedToken>();
  /** When an API last refused the token of a call from before the last reload. */
  oldRefused: Stamp | undefined;
  /** The last request with each secret: of those since the last reload, or the last token. */
  readonly lastWith = new Map<string, TokenRequest>();
  /** When a secret was last sent that got a token, true ms. */
  workedAt = Number.NEGATIVE_INFINITY;
  /** When tries failed, by the clocks of true time, since the last one that worked. */
  failures: number[] = [];
  /** The one that worked last. */
  secret: string | undefined;
  /** The last ones that were in the file since, at reloads; the newest first. */
  held: string[] = [];
  /** What that was at each reload. */
  readonly secretsBefore: { readonly reloadedAt: number; readonly secret: string | undefined }[] = [];

  /** Those that the generation of a call can use: what later ones learn does not reach it. */
  secretsOf(called: Stamp | undefined, isKept: (held: string) => boolean): string[] {
    const replaced = called && this.secretsBefore.find(({ reloadedAt }) => reloadedAt > called.trueMs);
    const known = replaced ? [replaced.secret] : [this.secret, ...this.held.filter(isKept)];
    return known.filter((secret) => secret !== undefined);
  }
}

function byProcess(): (process: SimulatedProcess) => Knowledge {
  const all = new WeakMap<SimulatedProcess, Knowledge>();
  return (process) => {
    const known = all.get(process) ?? new Knowledge();
    all.set(process, known);
    return known;
  };
}

function isFromBefore({ trueMs }: Stamp, reloaded: Stamp | undefined): boolean {
  return reloaded !== undefined && trueMs < reloaded.trueMs;
}

function inFileOf({ hosts, platform: { disk } }: World, process: SimulatedProcess): string {
  const { secretFile = '' } = hosts.find((host) => host.process === process) ?? {};
  return disk.has(secretFile) ? disk.find(secretFile).content.toString().trimEnd() : '';
}

/** The one that the process got last. */
function lastTokenOf({ identity }: World, process: SimulatedProcess): IssuedToken | undefined {
  return [...identity.tokens.values()].findLast(
    ({ to, obtainedAt }) => to === process && obtainedAt < Number.POSITIVE_INFINITY,
  );
}

/** Undefined for one that another member of a fleet has fetched: it comes with no token request of its own. */
function inUse(world: World, process: SimulatedProcess): IssuedToken | undefined {
  const last = lastTokenOf(world, process);
  const isOwn = !world.fleet || (last && world.platform.time.nowMs - last.obtainedAt < TAKEN_MS);
  return isOwn ? last : undefined;
}

export const asksOnlyWhenDue: Invariant = {
  sentence:
    'A token is renewed at half of its lifetime or five minutes before it expires, whichever is later, and not before. Excused: one that an API has refused, one from before a reload, and one that may be for a refused call from before it.',
  watch(world, violated) {
    const of = byProcess();
    return (observation) => {
      if (isLogged(observation, 'reloaded'))
        of(observation.process).reloaded = stampOf(world.platform.time, observation.process);
      if (isLogged(observation, 'obtained')) of(observation.process).token = inUse(world, observation.process);
      if (observation.kind === 'tokenRefused') {
        const { token, from, called } = observation.request;
        if (token) of(token.to).refused.add(token);
        // Its generation renews its own token.
        if (from && isFromBefore(called, of(from).reloaded)) of(from).oldRefused = stampOf(world.platform.time, from);
      }
      if (observation.kind !== 'tokenRequest') return;
      const { from, sent } = observation.request;
      const { token, reloaded, oldRefused, refused } = of(from);
      if (!token || refused.has(token)) return;
      // The token is of one generation, the request may be of the other.
      if ([reloaded, oldRefused].some((since) => mayBeOfOldGeneration(token.asked, since))) return;
      // The sidecar counts its age from before the connection for its request was made; it may have slept meanwhile.
      if (token.asked.trueMs - from.machine.asleepUntil < TOLERANCE_MS) return;
      const ageMs = knownAgeMs(token.asked, sent);
      if (ageMs < renewalMs(token.lifetimeMs) - TOLERANCE_MS)
        violated(`${from.name} asked while ${token.value} was ${Math.round(ageMs)} ms old`);
    };
  },
};

/** So many failures in a row take at least this long: one second each would be a third of it. */
const MANY = 12;
const MANY_MS = 36_000;
/** The bound of the back-off is then half a minute and more. */
const WARM_UP = 5;

export const backsOff: Invariant = {
  sentence: 'The time between tries that fail grows: after five in a row, twelve more take at least 36 s.',
  watch(world, violated) {
    const of = byProcess();
    return (observation) => {
      if (observation.kind !== 'log') return;
      const { code } = observation.line;
      const knowledge = of(observation.process);
      if (isLogged(observation, 'reloaded') || isLogged(observation, 'obtained')) knowledge.failures = [];
      if (code !== 'TOKEN_UNAVAILABLE' || observation.line['retryInS'] === undefined) return;
      knowledge.failures.push(world.platform.time.nowMs);
      const first = knowledge.failures.at(-1 - MANY);
      if (knowledge.failures.length < WARM_UP + MANY || first === undefined) return;
      const tookMs = world.platform.time.nowMs - first;
      if (tookMs < MANY_MS) violated(`${observation.process.name} failed ${MANY} times in ${Math.round(tookMs)} ms`);
    };
  },
};

/** After a refusal it is up to this long; an attempt with several secrets over a silent network takes the rest. */
const NEXT_MS = 90_000;
const ATTEMPT_MS = 30_000;

/** The oldest that a token is when it is renewed, with its jitter, ms. */
function latestRenewalMs({ lifetimeMs }: IssuedToken): number {
  const dueMs = renewalMs(lifetimeMs);
  return dueMs + Math.min((lifetimeMs - dueMs) / 2, lifetimeMs / 10);
}

export const asksWithoutCalls: Invariant = {
  sentence:
    'The sidecar asks while nobody calls: for the next token when it is due, and after a try that failed within a minute and a half, or when the server has asked for it. Excused: while the machine sleeps; after a try within fifteen seconds of a reload, which may be of the old generation.',
  watch(world, violated) {
    const dueAt = new Map<SimulatedProcess, number>();
    const reloaded = new Map<SimulatedProcess, Stamp>();
    const now = (process: SimulatedProcess) => stampOf(world.platform.time, process);
    return (observation) => {
      for (const [process, dueMs] of dueAt)
        if (!process.isAlive) dueAt.delete(process);
        else if (now(process).monotonicMs > dueMs + ATTEMPT_MS) violated(`${process.name} has not asked for a token`);
      if (observation.kind === 'tokenRequest') dueAt.delete(observation.request.from);
      if (observation.kind !== 'log') return;
      const { process, line } = observation;
      const isObtained = isLogged(observation, 'obtained');
      const isReloaded = isLogged(observation, 'reloaded');
      if (isReloaded) reloaded.set(process, now(process));
      if (isObtained || isReloaded) dueAt.delete(process);
      const token = isObtained ? inUse(world, process) : undefined;
      if (token) dueAt.set(process, token.asked.monotonicMs + latestRenewalMs(token));
      const retryMs = Number(line['retryInS'] ?? Number.NaN) * 1000;
      const isOfNewest = !mayBeOfOldGeneration(now(process), reloaded.get(process));
      if (retryMs >= 0 && isOfNewest) dueAt.set(process, now(process).monotonicMs + Math.max(NEXT_MS, retryMs));
    };
  },
};

const REFUSED_MS = 60_000;

export const restsRefusedSecret: Invariant = {
  sentence:
    'A secret that was refused is not sent again within a minute, unless another one worked, or got no response, meanwhile. Excused: within fifteen seconds of a reload, or of a refused call from before it, when the old generation still has waiting callers.',
  watch(world, violated) {
    const of = byProcess();
    return (observation) => {
      if (isLogged(observation, 'reloaded'))
        of(observation.process).reloaded = stampOf(world.platform.time, observation.process);
      if (isLogged(observation, 'reloaded') || isLogged(observation, 'obtained'))
        of(observation.process).lastWith.clear();
      if (observation.kind === 'tokenRefused') {
        const { from, called } = observation.request;
        if (from && isFromBefore(called, of(from).reloaded)) of(from).oldRefused = stampOf(world.platform.time, from);
      }
      if (observation.kind !== 'tokenRequest') return;
      const { request } = observation;
      const knowledge = of(request.from);
      const { lastWith, reloaded, oldRefused } = knowledge;
      // Its token may have been none that could be used; and without a response, all are tried again.
      for (const { outcome, sent } of lastWith.values())
        if (outcome !== 'invalid_client') knowledge.workedAt = Math.max(knowledge.workedAt, sent.trueMs);
      const before = lastWith.get(request.secret);
      lastWith.set(request.secret, request);
      if ([reloaded, oldRefused].some((since) => mayBeOfOldGeneration(request.sent, since))) return;
      if (before?.outcome !== 'invalid_client' || before.sent.trueMs < knowledge.workedAt) return;
      const apartMs = knownAgeMs(before.sent, request.sent);
      if (apartMs < REFUSED_MS - TOLERANCE_MS)
        violated(`${request.from.name} sent ${request.secret} again after ${Math.round(apartMs)} ms`);
    };
  },
};

/** A refused secret is then tried before the others again. */
const PROBE_AFTER_MS = 600_000;

export const refusedComesLast: Invariant = {
  sentence:
    'While another secret works, one that was refused is tried within ten minutes only after that one. Excused: within fifteen seconds, awake, of a reload.',
  watch(world, violated) {
    const of = byProcess();
    const last = new WeakMap<SimulatedProcess, TokenRequest>();
    return (observation) => {
      if (isLogged(observation, 'reloaded')) {
        const knowledge = of(observation.process);
        knowledge.reloaded = stampOf(world.platform.time, observation.process);
        knowledge.lastWith.clear();
      }
      if (observation.kind !== 'tokenRequest') return;
      const { from, secret, sent } = observation.request;
      const { lastWith, reloaded } = of(from);
      const before = lastWith.get(secret);
      lastWith.set(secret, observation.request);
      const isAfterAnother = last.get(from)?.outcome === 'invalid_client';
      last.set(from, observation.request);
      if (before?.outcome !== 'invalid_client' || isAfterAnother || mayBeOfOldGeneration(sent, reloaded)) return;
      const hasWorked = [...lastWith.values()].some(
        (one) => one.outcome === 'token' && one.sent.trueMs > before.sent.trueMs,
      );
      const apartMs = knownAgeMs(before.sent, sent);
      if (hasWorked && apartMs < PROBE_AFTER_MS - TOLERANCE_MS)
        violated(`${from.name} sent ${secret} again after ${Math.round(apartMs)} ms`);
    };
  },
};

/** After a refusal a generation rests for a minute, in which others ask less often than this. */
const KNOWN = 100;

export const keepsWorkingSecret: Invariant = {
  sentence:
    'While the server accepts the secret that worked last, or one of the last three that were in the file since and that it has not refused, no call fails because of a wrong secret in the file. For a call from before a reload, only the last one that worked before it counts.',
  watch(world, violated) {
    const of = byProcess();
    const last = new Map<SimulatedProcess, TokenRequest>();
    const all = new Map<SimulatedProcess, TokenRequest[]>();
    return (observation) => {
      if (observation.kind === 'tokenRequest') {
        const { request } = observation;
        last.set(request.from, request);
        all.set(request.from, [...(all.get(request.from) ?? []), request].slice(-KNOWN));
      }
      if (isLogged(observation, 'obtained'))
        Object.assign(of(observation.process), { secret: last.get(observation.process)?.secret, held: [] });
      if (isLogged(observation, 'reloaded')) {
        const knowledge = of(observation.process);
        const { secretsBefore, secret, held } = knowledge;
        secretsBefore.push({ reloadedAt: world.platform.time.nowMs, secret });
        knowledge.held = [...new Set([inFileOf(world, observation.process), ...held])].slice(0, MOST_HELD);
      }
      if (observation.kind !== 'told' || observation.told.code !== 'CREDENTIALS_REJECTED') return;
      const { sidecar, id, attempt, cause } = observation.told;
      const called = world.calledAt(id, String(attempt));
      const isRefused = (secret: string) =>
        sidecar &&
        all.get(sidecar)?.some((request) => request.secret === secret && request.outcome === 'invalid_client');
      const secrets = sidecar ? of(sidecar).secretsOf(called, (secret) => !isRefused(secret)) : [];
      // Another secret would not help. The last request may have been that of a generation from before a reload.
      const isOfScope = sidecar && all.get(sidecar)?.some(({ outcome }) => outcome === 'invalid_scope');
      if (isOfScope && cause === 'token_invalid_scope') return;
      const works = secrets.find((secret) => (world.identity.secrets.get(secret) ?? 0) > world.platform.time.nowMs);
      if (works !== undefined) violated(`payment ${id} got CREDENTIALS_REJECTED while ${works} works`);
    };
  },
};
