/** What docs/tokens.md promises of an issuer's keys and documents. */
import { type Stamp, stampOf } from '../platform/network.ts';
import type { SimulatedProcess } from '../platform/process.ts';
import type { IssuedToken } from '../world/observation.ts';
import type { Invariant } from './invariants.ts';
import { isLogged } from './logged.ts';
import { mayBeOfOldGeneration } from './tokens.ts';

export const sendsVerified: Invariant = {
  sentence: 'With `verify: true`, a token with a wrong signature, issuer or audience is never sent.',
  watch: (world, violated) => (observation) => {
    if (observation.kind !== 'upstreamRequest' || !world.issuer?.part.isVerifying) return;
    const { id, token, authorization } = observation.request;
    if (!token || token.isForged) violated(`payment ${id} was sent with ${authorization}`);
  },
};

/** A try that began before it was right again may still be under way: document, token and keys have 5 s each. */
const TRY_MS = 15_000;
/** The keys are fetched again at most four times in a row, and then every 15 s. */
const REFETCHES_MS = 60_000;

export const takesNewKeys: Invariant = {
  sentence:
    'A token whose key is in the key set is not refused for want of its key. Excused: within 75 s of a wrong token, key set or document, when the keys may not be fetched so often; a machine whose clock is wrong by more than 290 s; the first one of each generation after the key set has moved; one on its way when its key was taken out; one that has expired more than 290 s ago when it comes.',
  watch(world, violated) {
    const askedAt = new WeakMap<SimulatedProcess, number>();
    /** When the generation before the last reload had asked. */
    const replaced = new WeakMap<SimulatedProcess, { askedAt: number; at: Stamp }>();
    return (observation) => {
      const { nowMs } = world.platform.time;
      if (!world.issuer) return;
      if (isLogged(observation, 'reloaded'))
        replaced.set(observation.process, {
          askedAt: askedAt.get(observation.process) ?? 0,
          at: stampOf(world.platform.time, observation.process),
        });
      if (observation.kind === 'issuerRequest' && observation.what === 'document') askedAt.set(observation.from, nowMs);
      if (observation.kind !== 'log' || observation.line['result'] !== 'not_verified') return;
      const { machine, name } = observation.process;
      const wallMs = machine.wallMs(nowMs);
      const wrongMs = Math.abs(wallMs - nowMs);
      const old = replaced.get(observation.process);
      const isOld = mayBeOfOldGeneration(stampOf(world.platform.time, observation.process), old?.at);
      const knownAt = Math.min(askedAt.get(observation.process) ?? 0, isOld ? (old?.askedAt ?? 0) : Infinity);
      const isMoved = knownAt < world.issuer.keysMovedAt;
      const isDropped = nowMs - world.issuer.keyDroppedAt < TRY_MS;
      if (isMoved || isDropped || wrongMs > CLOCK_MS || nowMs - world.issuer.wrongAt < REFETCHES_MS + TRY_MS) return;
      // The machine has slept since it asked, or got it: then it is too old, whatever its key. A newer one may be that of another generation.
      const isLate = ({ to, issuedAt, lifetimeMs, obtainedAt }: IssuedToken) =>
        to === observation.process &&
        nowMs - Math.max(obtainedAt, machine.asleepUntil) < TRY_MS &&
        wallMs > issuedAt + lifetimeMs + CLOCK_MS;
      if ([...world.identity.tokens.values()].some(isLate)) return;
      violated(`${name} has refused a right token`);
    };
  },
};

/** `verify` tolerates five minutes; what is less than ten seconds below them is not looked at. */
const CLOCK_MS = 290_000;
