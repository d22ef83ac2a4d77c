/**
 * Composes the gate of a generation: who may call, what, and how often. Counts the requests inside, so that a replaced
 * generation ends when its last request has left.
 */
import { SidecarError } from '../../core/errors.ts';
import { createAdmission } from '../../proxy/admission.ts';
import { createIdentify } from '../../proxy/caller-auth.ts';
import type { Gate, ProxyContext } from '../../proxy/exchange.ts';
import { type Budgets, claimsOf, type Enter, type QuotaLimits } from '../../proxy/rate-limits.ts';
import type { Route } from '../../proxy/route.ts';
import type { DataPlaneSettings } from './routes.ts';

/** The parts of the sidecar that requests use. */
export interface Link extends Pick<ProxyContext, 'log' | 'metrics' | 'onFinished' | 'tracing'> {
  /** Undefined = nothing is audited. */
  readonly auditor:
    | (NonNullable<ProxyContext['auditor']> & {
        /** Whether calls of this method are audited. @throws SidecarError SIDECAR_AUDIT_FAILED */
        begin(method: string): boolean;
      })
    | undefined;
  /** Who counts `requestsPerMinute`; default: this sidecar alone. */
  readonly budgets?: Budgets;
}

export interface GateOptions {
  readonly settings: DataPlaneSettings;
  readonly routes: readonly Route[];
  /** Exact `Host` values; filled once the ports are known. */
  readonly hosts: ReadonlySet<string>;
  readonly link: Link;
  readonly rateLimits: Enter;
  /** Called for every new request. */
  readonly isMemoryShort: () => boolean;
  readonly onForwarded: ProxyContext['onForwarded'];
}

export interface CountingGate extends Gate {
  /** Resolves as soon as no request is inside. */
  empty(): Promise<void>;
}

type Callers = DataPlaneSettings['config']['callers'];

const RETRY_AFTER_S = 1;

/**
 * Creates the gate of one generation.
 * @example
 * const gate = createGate({ settings, routes, hosts, link, rateLimits, isMemoryShort: () => false, onForwarded });
 */
export function createGate({
  settings,
  routes,
  hosts,
  link,
  rateLimits,
  isMemoryShort,
  onForwarded,
}: GateOptions): CountingGate {
  const { limits, callers } = settings.config;
  const count = link.metrics.counterBy('caller_requests_total', 'caller', {});
  /** Names from certificates are no metric labels: the CA chooses them, so their number has no bound. */
  const labels = new Set(['anyone', ...settings.callerKeys.keys()]);
  const ownLimits = limitsByCaller(callers);
  const admit = createAdmission({
    ...{ routes, hosts, allowForwarded: callers.allowForwarded },
    identify: createIdentify({ keys: settings.callerKeys }),
  });
  const { auditor } = link;
  return {
    admit(line, head) {
      // First: it is cheapest, and no part of a body is in memory yet.
      if (isMemoryShort()) throw new SidecarError('SIDECAR_OVERLOADED', { retryAfterS: RETRY_AFTER_S });
      return admit(line, head);
    },
    enter(caller, route, methods) {
      const own = ownLimits.get(caller) ?? callers.limits;
      const claims = () => [
        ...claimsOf(`caller ${caller}`, own, methods),
        ...claimsOf(`route ${route.path}`, route.limits, methods),
      ];
      const entered = isFree(own) && isFree(route.limits) ? undefined : rateLimits(claims());
      count(labels.has(caller) ? caller : 'certificate');
      return entered;
    },
    audited: auditor ? (method) => auditor.begin(method) : () => false,
    limits: { replayBytes: limits.replayBody, maxBytes: limits.requestBody, onForwarded },
    ...createOccupancy(),
  };
}

function createOccupancy(): Pick<CountingGate, 'hold' | 'release' | 'empty'> {
  let inside = 0;
  let onEmpty: (() => void) | undefined;
  return {
    hold() {
      inside += 1;
    },
    release() {
      inside -= 1;
      if (inside === 0) onEmpty?.();
    },
    empty: () =>
      new Promise((resolve) => {
        onEmpty = resolve;
        if (inside === 0) resolve();
      }),
  };
}

function isFree({ inFlight, requestsPerMinute, methods }: QuotaLimits): boolean {
  return inFlight === undefined && requestsPerMinute === undefined && methods === undefined;
}

/** Returns the limits of callers with their own; limits they do not set are those for every caller. */
function limitsByCaller({ keys, limits }: Callers): ReadonlyMap<string, QuotaLimits> {
  return new Map(
    Object.entries(keys).map(([name, { limits: own }]) => {
      const { inFlight = limits.inFlight, requestsPerMinute = limits.requestsPerMinute } = own;
      return [name, { inFlight, requestsPerMinute, methods: { ...limits.methods, ...own.methods } }];
    }),
  );
}
