/** Overload protection: limits of connections and memory, fixed for the life of the sidecar. */
import type { Config, RouteConfig } from '../../config/schema.ts';
import { ERRORS } from '../../core/errors.ts';
import { type Log, onceIn } from '../../core/log.ts';
import type { CallerMetrics } from '../../core/metrics.ts';
import { fitConnections, readDescriptors } from '../../net/file-descriptors.ts';
import { type Connections, createConnections } from '../../proxy/connections.ts';
import type { OnFinished } from '../../proxy/failed-call.ts';
import { createMemoryPressure, heapShareInUse } from '../../proxy/memory-pressure.ts';

export interface Overload {
  readonly connections: Connections;
  /** Called for every new request. */
  readonly isMemoryShort: () => boolean;
  close(): void;
}

interface Bounds extends Pick<Config, 'limits'> {
  readonly routes: readonly Pick<RouteConfig, 'upstream'>[];
}

export interface OverloadOptions {
  readonly config: Bounds;
  readonly log: Log;
  readonly metrics: Pick<CallerMetrics, 'error'>;
  readonly onFinished?: OnFinished | undefined;
  /** Heap in use as a share of its limit; default: V8's own. */
  readonly heapShare?: (() => number) | undefined;
}

/** Shortest time between two log lines and history records: a flood must not fill either. */
const LOG_EVERY_MS = 10_000;
const CODE = { code: 'SIDECAR_OVERLOADED' } as const;
/** A refused connection: nothing was read from it. */
const UNKNOWN = {
  ...{ requestId: 'none', method: '', mayHaveExecuted: false },
  ...{ failure: undefined, idempotencyKey: undefined },
};

/**
 * Creates the protection; one per sidecar.
 * @example
 * const { connections, isMemoryShort } = createOverload({ config, log, metrics });
 */
export function createOverload({
  config,
  log,
  metrics,
  onFinished,
  heapShare = heapShareInUse,
}: OverloadOptions): Overload {
  const mayLog = onceIn(LOG_EVERY_MS);
  const onRefused = () => {
    metrics.error(CODE.code);
    if (!mayLog()) return;
    log.warn('connection limit reached, new connections get 503', CODE);
    onFinished?.(undefined, ERRORS[CODE.code].status, 0, { ...CODE, ...UNKNOWN });
  };
  const onChange = (high: boolean) => {
    if (high) log.warn('memory is short, new requests get 503', CODE);
    else log.info('memory is free again');
  };
  const pressure = createMemoryPressure({ share: config.limits.heapShare, sample: heapShare, onChange });
  return {
    connections: createConnections({ limit: connectionLimit(config, log), onRefused }),
    isMemoryShort: pressure.isHigh,
    close: pressure.close,
  };
}

function connectionLimit({ limits, routes }: Bounds, log: Log): number {
  const descriptors = readDescriptors();
  if (descriptors === undefined) return limits.connections;
  const origins = new Set(routes.map(({ upstream }) => upstream.origin)).size;
  const fitting = fitConnections(limits, origins, descriptors);
  if (fitting < limits.connections) {
    const problem = `limits.connections and limits.upstreamConnections need more than the ${descriptors.limit} files this process may open (ulimit -n): callers can hold ${fitting} connections`;
    log.warn('configuration', { problem });
  }
  return fitting;
}
