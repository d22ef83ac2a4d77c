/**
 * What stands between callers and the routes, composed: bounds, gate and the port itself. The same whether it runs beside
 * the token engine or in a worker of its own.
 */
import type { Config } from '../../config/schema.ts';
import type { Log } from '../../core/log.ts';
import type { CallerMetrics } from '../../core/metrics.ts';
import type { OnFinished } from '../../proxy/access-log.ts';
import { createMinorGc } from '../../proxy/minor-gc.ts';
import { type Proxy as CallerListeners, createProxy, type ProxyOptions } from '../../proxy/server.ts';
import { createGates, type GateOptions, type GateSource } from './gate.ts';
import { createOverload, type OverloadOptions } from './overload.ts';

export interface CallerSideOptions<Source extends GateSource>
  extends Pick<GateOptions<Source>, 'current' | 'hosts' | 'enter'> {
  readonly config: OverloadOptions['config'] & Pick<Config, 'timeouts'>;
  readonly log: Log;
  readonly metrics: CallerMetrics;
  readonly onFinished: OnFinished;
  readonly auditor: (GateOptions<Source>['auditor'] & ProxyOptions['auditor']) | undefined;
  /** Heap in use as a share of its limit; V8's own by default. */
  readonly heapShare?: (() => number) | undefined;
}

export interface CallerSide {
  readonly proxy: CallerListeners;
  close(): void;
}

export function createCallerSide<Source extends GateSource>(options: CallerSideOptions<Source>): CallerSide {
  const { config, log, metrics, onFinished, auditor, current, hosts, enter, heapShare } = options;
  const overload = createOverload({ config, log, metrics, heapShare });
  const passed = createMinorGc();
  const gate = createGates({ current, hosts, enter, metrics, checkLoad: overload.check, auditor, passed });
  const headersMs = config.timeouts.callerHeaders;
  const { connections } = overload;
  const proxy = createProxy({ gate, headersMs, connections, log, metrics, onFinished, auditor });
  return { proxy, close: overload.close };
}
