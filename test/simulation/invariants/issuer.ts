/** What docs/tokens.md promises of an issuer's keys and documents. */
import type { SimulatedProcess } from '../platform/process.ts';
import type { Invariant } from './invariants.ts';
import { lastTokenOf } from './token-need.ts';

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
    'A token whose key is in the key set is not refused for want of its key. Excused: within a minute of a wrong token, key set or document, when the keys may not be fetched so often; a machine whose clock is wrong by more than five minutes; the first one after the key set has moved; one that has expired more than five minutes ago when it comes.',
  watch(world, violated) {
    const askedAt = new WeakMap<SimulatedProcess, number>();
    return (observation) => {
      const { nowMs } = world.platform.time;
      if (!world.issuer) return;
      if (observation.kind === 'issuerRequest' && observation.what === 'document') askedAt.set(observation.from, nowMs);
      if (observation.kind !== 'log' || observation.line['result'] !== 'not_verified') return;
      const { machine, name } = observation.process;
      const wallMs = machine.wallMs(nowMs);
      const wrongMs = Math.abs(wallMs - nowMs);
      const isMoved = (askedAt.get(observation.process) ?? 0) < world.issuer.keysMovedAt;
      if (isMoved || wrongMs > CLOCK_MS || nowMs - world.issuer.wrongAt < REFETCHES_MS + TRY_MS) return;
      // The machine has slept since it asked: then it is too old, whatever its key.
      const token = lastTokenOf(world, observation.process);
      if (token && wallMs > token.issuedAt + token.lifetimeMs + CLOCK_MS) return;
      violated(`${name} has refused a right token`);
    };
  },
};

const CLOCK_MS = 290_000;

/** Of each process: tries back off, and at the most four refetches come at once. */
const MOST = 12;
const WINDOW_MS = 60_000;

export const issuerIsAskedSeldom: Invariant = {
  sentence:
    'A process asks an issuer for its document, or for its keys, at most twelve times a minute. Excused: six more for each reload of that time.',
  watch(world, violated) {
    const asked = new WeakMap<SimulatedProcess, Record<'document' | 'keys' | 'reload', number[]>>();
    const of = (process: SimulatedProcess) => {
      const known = asked.get(process) ?? { document: [], keys: [], reload: [] };
      asked.set(process, known);
      return known;
    };
    return (observation) => {
      if (observation.kind === 'log' && observation.line['message'] === 'configuration reloaded')
        of(observation.process).reload.push(world.platform.time.nowMs);
      if (observation.kind !== 'issuerRequest') return;
      const { what, from, sentAt } = observation;
      const times = of(from);
      times[what].push(sentAt);
      const lately = (all: readonly number[]) => all.filter((at) => at > sentAt - WINDOW_MS && at <= sentAt).length;
      const count = lately(times[what]);
      if (count > MOST + 6 * lately(times.reload)) violated(`${from.name} asked for its ${what} ${count} times`);
    };
  },
};
