/** What docs/tokens.md promises of how often an issuer is asked for its discovery document and its keys. */
import { type Stamp, stampOf } from '../platform/network.ts';
import type { SimulatedProcess } from '../platform/process.ts';
import type { Observation } from '../world/observation.ts';
import type { World } from '../world/world.ts';
import type { Invariant } from './invariants.ts';
import { LOGGED } from './logged.ts';
import { knownAgeMs, OLD_GENERATION_MS, TOLERANCE_MS } from './tokens.ts';

const KEPT_MS = 600_000;

/** What the newest generation of a process has, as far as it is sure. */
class Kept {
  /** Undefined: not yet. */
  reloaded: Stamp | undefined;
  /** Since when only the newest generation asks, by the monotonic clock. */
  aloneAt = Number.NEGATIVE_INFINITY;
  /** The last token, true ms. */
  obtainedAt = Number.NEGATIVE_INFINITY;
  /** The last request that got keys. */
  asked: Stamp | undefined;
  /** The request for the keys that have verified the last token. */
  keys: Stamp | undefined;
  hasDocument = false;
  /** The last try that found its endpoint, or what came of it, of no use; true ms. Undefined: the document was asked for since. */
  failedAt: number | undefined;
  refetches: Stamp | undefined;
  spare = 0;

  /** Callers of a generation before may ask, with what that one has. */
  beginAnew({ monotonicMs }: Stamp): void {
    this.aloneAt = monotonicMs + OLD_GENERATION_MS;
    this.asked = undefined;
    this.keys = undefined;
    this.hasDocument = false;
    this.failedAt = undefined;
  }
}

type Asked = Pick<Observation & { kind: 'issuerRequest' }, 'from' | 'sent'> & { what: 'document' | 'keys' | 'token' };

function watchKept(world: World, onRequest: (asked: Asked, kept: Kept) => void): (observation: Observation) => void {
  const all = new WeakMap<SimulatedProcess, Kept>();
  const of = (process: SimulatedProcess) => {
    const kept = all.get(process) ?? new Kept();
    all.set(process, kept);
    return kept;
  };
  return (observation) => {
    if (!world.issuer) return;
    if (observation.kind === 'log')
      noteLog(observation.line, of(observation.process), stampOf(world.platform.time, observation.process));
    if (observation.kind === 'tokenRefused') {
      const { from, called } = observation.request;
      const isOld = from && called.trueMs < (of(from).reloaded?.trueMs ?? 0);
      if (isOld) of(from).beginAnew(stampOf(world.platform.time, from));
    }
    const asked = askedBy(observation);
    if (!asked) return;
    const kept = of(asked.from);
    // A slow server comes later to one that is long given up.
    if (asked.sent.trueMs < kept.obtainedAt) return;
    onRequest(asked, kept);
    if (asked.what === 'document') kept.failedAt = undefined;
    if (observation.kind === 'issuerRequest' && asked.what === 'keys' && observation.isServed) kept.asked = asked.sent;
  };
}

function askedBy(observation: Observation): Asked | undefined {
  if (observation.kind === 'issuerRequest') return observation;
  return observation.kind === 'tokenRequest' ? { ...observation.request, what: 'token' } : undefined;
}

function noteLog({ message, code, result, retryInS }: Readonly<Record<string, unknown>>, kept: Kept, now: Stamp): void {
  if (message === LOGGED.reloaded) {
    kept.reloaded = now;
    kept.beginAnew(now);
  } else if (message === LOGGED.obtained && now.monotonicMs > kept.aloneAt) {
    kept.obtainedAt = now.trueMs;
    kept.hasDocument = true;
    if (kept.keys === undefined && kept.asked) kept.spare = MOST;
    kept.keys = kept.asked;
  } else if (code !== undefined || result !== undefined) kept.hasDocument = false;
  // A refused secret or scope, or a token that was too long on its way, says nothing of the endpoint.
  const isBlamed = code === 'TOKEN_UNAVAILABLE' && result !== 'expired_on_arrival' && retryInS !== undefined;
  if (isBlamed && now.monotonicMs > kept.aloneAt) kept.failedAt = now.trueMs;
}

export const keepsIssuerFiles: Invariant = {
  sentence:
    'A process that has got a token asks for the discovery document again only after a failure, and for keys ten minutes later. Excused: within fifteen seconds of a reload, or of a refused call from before it; keys when the issuer has changed one since, or has served or signed something wrong.',
  watch: (world, violated) =>
    watchKept(world, ({ what, from, sent }, { hasDocument, keys }) => {
      if (!hasDocument || what === 'token') return;
      if (what === 'document') return violated(`${from.name} asked for the document again`);
      const { keysChangedAt = 0, keysMovedAt = 0, wrongAt = 0 } = world.issuer ?? {};
      if (!keys || Math.max(keysChangedAt, keysMovedAt, wrongAt) > keys.trueMs) return;
      const ageMs = knownAgeMs(keys, sent);
      if (ageMs < KEPT_MS - TOLERANCE_MS) violated(`${from.name} asked for keys again after ${Math.round(ageMs)} ms`);
    }),
};

export const looksAgain: Invariant = {
  sentence:
    'After a try that failed at the token endpoint, or whose token did not pass, the discovery document is asked for before the next token request. Excused: within fifteen seconds of a reload, or of a refused call from before it.',
  watch: (world, violated) =>
    watchKept(world, ({ what, from, sent }, { failedAt = Number.POSITIVE_INFINITY }) => {
      if (what === 'token' && sent.trueMs >= failedAt) violated(`${from.name} went on with a document that had failed`);
    }),
};

/** Of requests for keys in a row, because a token fits none. */
const MOST = 4;
const EVERY_MS = 15_000;

export const issuerIsAskedSeldom: Invariant = {
  sentence:
    'Because a token fits none of the keys, they are fetched again at most four times in a row, and then every fifteen seconds. Excused: until a token was verified after a reload, and when the key set has moved.',
  watch: (world, violated) =>
    watchKept(world, ({ what, from, sent }, kept) => {
      const { keys, refetches } = kept;
      if (what !== 'keys' || !keys || !world.issuer || world.issuer.keysMovedAt > keys.trueMs) return;
      // Those that are too old are fetched by every try.
      if (knownAgeMs(keys, sent) > KEPT_MS - TOLERANCE_MS) return;
      if (refetches) kept.spare = Math.min(MOST, kept.spare + knownAgeMs(refetches, sent) / EVERY_MS);
      kept.refetches = sent;
      kept.spare -= 1;
      if (kept.spare < -TOLERANCE_MS / EVERY_MS) violated(`${from.name} asked for its keys too often`);
    }),
};
