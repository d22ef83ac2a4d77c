/** How often the sidecar asks the identity server. */
import type { SimulatedProcess } from '../platform/process.ts';
import type { TokenRequest } from '../world/observation.ts';
import type { Invariant } from './invariants.ts';
import { knownAgeMs } from './tokens.ts';

const INTERVAL_MS = 1000;
const LONGEST_RETRY_AFTER_MS = 300_000;
/** Requests need time to leave: a connection may have been open for one and not for the other. */
const TOLERANCE_MS = 5100;

/** Of one process; a reload may start anew, with a source of its own. */
interface Asking {
  last: TokenRequest | undefined;
  /** A reload or a 401 since the last request. */
  mayHurry: boolean;
  reloadedAt: number;
}

function perProcess() {
  const known = new Map<SimulatedProcess, Asking>();
  return (process: SimulatedProcess): Asking => {
    const asking = known.get(process) ?? { last: undefined, mayHurry: true, reloadedAt: 0 };
    known.set(process, asking);
    return asking;
  };
}

const RELOADED = 'configuration reloaded';

export const oneTokenRequest: Invariant = {
  sentence: 'A process has at most one token request under way for a key; a reload may have one of its own.',
  watch(world, violated) {
    const of = perProcess();
    return (observation) => {
      if (observation.kind === 'log' && observation.line['message'] === RELOADED)
        of(observation.process).reloadedAt = world.platform.time.nowMs;
      if (observation.kind !== 'tokenRequest') return;
      const { request } = observation;
      const asking = of(request.from);
      const { last } = asking;
      asking.last = request;
      if (!last || asking.reloadedAt >= last.sent.trueMs) return;
      if (last.endedAt() > request.sent.trueMs) violated(`${request.from.name} sent a second one`);
    };
  },
};

export const isAskedSeldom: Invariant = {
  sentence:
    'Token requests start a second apart, a minute after a refusal, and not before Retry-After, but for a reload, a 401 of the API and the next secret.',
  watch(_world, violated) {
    const of = perProcess();
    return (observation) => {
      if (observation.kind === 'log' && observation.line['message'] === RELOADED) of(observation.process).mayHurry = true;
      if (observation.kind === 'tokenRefused' && observation.request.from) of(observation.request.from).mayHurry = true;
      if (observation.kind !== 'tokenRequest') return;
      const { request } = observation;
      const asking = of(request.from);
      const { last, mayHurry } = asking;
      Object.assign(asking, { last: request, mayHurry: false });
      if (!last || mayHurry) return;
      const apartMs = knownAgeMs(last.sent, request.sent);
      const leastMs = leastAfter(last) - TOLERANCE_MS;
      if (apartMs < leastMs) violated(`${request.from.name} asked again after ${apartMs} ms`);
    };
  },
};

function leastAfter({ outcome, retryAfterS }: TokenRequest): number {
  // The next secret is tried at once.
  if (outcome === 'invalid_client') return 0;
  return Math.max(INTERVAL_MS, Math.min(retryAfterS * 1000, LONGEST_RETRY_AFTER_MS));
}
