/**
 * The gate of a generation, composed: who may call, what they may call, and how much of it.
 */

import type { Config } from '../../config/schema.ts';
import { memoize } from '../../core/memoize.ts';
import type { CallerMetrics } from '../../core/metrics.ts';
import type { Secret } from '../../core/secret.ts';
import { createAdmission } from '../../proxy/admission.ts';
import { createIdentify } from '../../proxy/caller-auth.ts';
import type { Route } from '../../proxy/exchange.ts';
import type { Claim } from '../../proxy/rate-limits.ts';
import type { Gate } from '../../proxy/server.ts';

/** What of a generation decides who gets in. */
export interface GateSource {
  readonly routes: readonly Route[];
  readonly loaded: {
    readonly config: Pick<Config, 'limits' | 'timeouts'> & {
      readonly callers: Pick<Config['callers'], 'allowForwarded' | 'limits'>;
    };
    readonly callerKeys: ReadonlyMap<string, readonly Pick<Secret, 'digest'>[]>;
  };
  hold(): () => void;
}

export interface GateOptions<Source extends GateSource> {
  readonly current: () => Source;
  /** Exact `Host` values; filled once the ports are known. */
  readonly hosts: ReadonlySet<string>;
  readonly metrics: Pick<CallerMetrics, 'counter'>;
  /** For every new request. @throws SidecarError SIDECAR_OVERLOADED */
  readonly checkLoad: () => void;
  /** Takes places under both limits, or none; what comes back gives them back. @throws SidecarError CALLER_LIMIT */
  readonly enter: (source: Source, caller: Claim, route: Claim) => ReturnType<Gate['enter']>;
  /** Told how much content has passed. */
  readonly passed: (bytes: number) => void;
  /** Undefined = nothing is. */
  readonly auditor: { begin(method: string): boolean } | undefined;
}

/** The gate of the current generation, built once for each. */
export function createGates<Source extends GateSource>(options: GateOptions<Source>): () => Gate {
  const built = new WeakMap<Source, Gate>();
  return () => {
    const generation = options.current();
    let gate = built.get(generation);
    if (!gate) {
      gate = buildGate(generation, options);
      built.set(generation, gate);
    }
    return gate;
  };
}

function buildGate<Source extends GateSource>(source: Source, options: GateOptions<Source>): Gate {
  const { hosts, metrics, checkLoad, auditor, enter, passed } = options;
  const { config, callerKeys } = source.loaded;
  const { allowForwarded, limits } = config.callers;
  // Names in certificates are the CA's choice: as a label they would have no bound.
  const labels = new Set([...callerKeys.keys(), 'anyone']);
  const count = memoize((caller: string) => metrics.counter('caller_requests_total', { caller }));
  const admit = createAdmission({
    ...{ routes: source.routes, hosts, allowForwarded },
    identify: createIdentify({ keys: callerKeys }),
  });
  const entered = (caller: string, leave: () => void) => {
    count(labels.has(caller) ? caller : 'certificate')();
    return leave;
  };
  return {
    admit(line, head) {
      // First, because it is cheapest, and before anything of a body is held.
      checkLoad();
      return admit(line, head);
    },
    enter(caller, route) {
      const claim = { owner: `route ${route.path}`, limits: route.limits };
      const place = enter(source, { owner: `caller ${caller}`, limits }, claim);
      return place instanceof Promise ? place.then((leave) => entered(caller, leave)) : entered(caller, place);
    },
    hold: source.hold,
    audited: (method) => auditor?.begin(method) ?? false,
    limits: {
      replayBytes: config.limits.replayBody,
      idleMs: config.timeouts.idle,
      maxBytes: config.limits.requestBody,
      passed,
    },
    totalMs: config.timeouts.total,
  };
}
