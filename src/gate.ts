/**
 * The gate of a generation, composed: who may call, what they may call, and how much of it.
 */
import type { Generation } from './generation.ts';
import type { Metrics } from './metrics.ts';
import type { Clock } from './oauth/clock.ts';
import { createAdmission } from './proxy/admission.ts';
import { createIdentify } from './proxy/callers.ts';
import { createQuotas, type Enter } from './proxy/quota.ts';
import type { Gate } from './proxy/server.ts';

export interface GateOptions {
  readonly current: () => Generation;
  /** Exact `Host` values; filled once the ports are known. */
  readonly hosts: ReadonlySet<string>;
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** For every new request. @throws SidecarError SIDECAR_OVERLOADED */
  readonly checkLoad: () => void;
  /** Undefined = nothing is. */
  readonly auditor: { begin(method: string): boolean } | undefined;
}

/** The gate of the current generation, built once for each. */
export function createGates(options: GateOptions): () => Gate {
  const built = new WeakMap<Generation, Gate>();
  const quotas = createQuotas(() => options.clock.now().monotonicMs);
  return () => {
    const generation = options.current();
    let gate = built.get(generation);
    if (!gate) {
      gate = buildGate(generation, options, quotas);
      built.set(generation, gate);
    }
    return gate;
  };
}

function buildGate(
  { routes, hold, loaded }: Generation,
  { hosts, metrics, checkLoad, auditor }: GateOptions,
  quotas: Enter,
): Gate {
  const { config, callerKeys } = loaded;
  const { allowForwarded, limits } = config.callers;
  // Names in certificates are the CA's choice: as a label they would have no bound.
  const labels = new Set([...callerKeys.keys(), 'anyone']);
  const count = memoize((caller: string) => metrics.counter('caller_requests_total', { caller }));
  const admit = createAdmission({ routes, hosts, allowForwarded, identify: createIdentify({ keys: callerKeys }) });
  return {
    admit(line, head) {
      // First, because it is cheapest, and before anything of a body is held.
      checkLoad();
      return admit(line, head);
    },
    enter(caller, route) {
      const leaveCaller = quotas(`caller ${caller}`, limits);
      const leaveRoute = orGiveBack(() => quotas(`route ${route.path}`, route.limits), leaveCaller);
      count(labels.has(caller) ? caller : 'certificate')();
      return () => {
        leaveCaller();
        leaveRoute();
      };
    },
    hold,
    audited: (method) => auditor?.begin(method) ?? false,
    limits: {
      replayBytes: config.limits.replayBody,
      idleMs: config.timeouts.idle,
      maxBytes: config.limits.requestBody,
    },
    totalMs: config.timeouts.total,
  };
}

function orGiveBack<T>(take: () => T, giveBack: () => void): T {
  try {
    return take();
  } catch (error) {
    giveBack();
    throw error;
  }
}

function memoize<T>(make: (key: string) => T): (key: string) => T {
  const made = new Map<string, T>();
  return (key) => {
    const value = made.get(key) ?? make(key);
    made.set(key, value);
    return value;
  };
}
